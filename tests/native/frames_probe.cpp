// Runs the conversions of src/frames.h on requests from standard input, so that Python can compare them.
//
//     read   LAYOUT W H MATRIX RANGE CHROMA STRIDE0 STRIDE1 STRIDE2 + rows of the planes, no gaps -> float32 (3, H, W)
//     write  the same + float32 (3, H, W) -> rows of the planes, no gaps
//     check  LAYOUT W H MATRIX RANGE CHROMA FRAMES_W FRAMES_H, then of each plane ADDRESS STRIDE BYTES -> a line
//     overlap LAYOUT W H OFFSET STRIDE twice: planes of one stride, one after the other in one memory -> a line
//
// Every plane has memory of its own, to the byte, where AddressSanitizer sees each access beside it; the bytes between
// rows must keep their values.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "error.h"
#include "frames_parts.h"

using namespace ifrnet;

// The library's own is in a file that needs all of it.
void ifrnet::fail(ifrnet_status status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(status, text);
}

namespace {

constexpr uint8_t GAP = 0xa5;

template <class Value> Value next() {
    Value value{};
    if (!(std::cin >> value)) std::exit(3);
    return value;
}

// The number as it is, also where the enum has no such value.
template <class Enum> void put(Enum &field, int number) { std::memcpy(&field, &number, sizeof number); }

ifrnet_image described() {
    ifrnet_image image{};
    image.size = sizeof image;
    put(image.layout, next<int>());
    image.width = next<int>();
    image.height = next<int>();
    put(image.matrix, next<int>());
    put(image.range, next<int>());
    put(image.chroma, next<int>());
    return image;
}

struct Memory {
    std::vector<uint8_t> planes[3];

    explicit Memory(ifrnet_image &image) {
        for (int i = 0; i < 3; i++) image.stride[i] = next<ptrdiff_t>();
        for (int i = 0; i < plane_count(image.layout); i++) {
            const PlaneForm form = plane_form(image.layout, i, {image.width, image.height});
            const size_t gaps = static_cast<size_t>(std::abs(image.stride[i])) * static_cast<size_t>(form.rows - 1);
            planes[i].assign(gaps + form.row_bytes, GAP);
            image.plane[i] = planes[i].data() + (image.stride[i] < 0 ? gaps : 0);
            image.bytes[i] = planes[i].size();
        }
    }
};

template <class Action> void each_row(const ifrnet_image &image, const Action &action) {
    for (int i = 0; i < plane_count(image.layout); i++) {
        const PlaneForm form = plane_form(image.layout, i, {image.width, image.height});
        for (int y = 0; y < form.rows; y++) action(row_of(image, i, y), form.row_bytes);
    }
}

void take(void *to, size_t bytes) {
    if (!std::cin.read(static_cast<char *>(to), static_cast<std::streamsize>(bytes))) std::exit(3);
}

void give(const void *from, size_t bytes) {
    std::cout.write(static_cast<const char *>(from), static_cast<std::streamsize>(bytes));
}

void convert(bool reading) {
    ifrnet_image image = described();
    Memory memory(image);
    std::cin.get(); // the line's end
    const size_t plane = static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
    std::vector<float> values(3 * plane);
    check_image(image, {image.width, image.height}, "img0");
    if (reading) {
        each_row(image, [](uint8_t *row, size_t bytes) { take(row, bytes); });
        read_image(image, values.data(), plane, 1);
        give(values.data(), 4 * values.size());
        return;
    }
    take(values.data(), 4 * values.size());
    write_image(values.data(), plane, image, 1);
    each_row(image, [](uint8_t *row, size_t bytes) { give(row, bytes), std::memset(row, GAP, bytes); });
    for (const auto &bytes : memory.planes) {
        for (const uint8_t byte : bytes) {
            if (byte != GAP) std::exit(4); // between rows
        }
    }
}

void check() {
    ifrnet_image image = described();
    const Size frames{next<int>(), next<int>()};
    for (int i = 0; i < 3; i++) {
        const auto address = next<uintptr_t>();
        std::memcpy(&image.plane[i], &address, sizeof address);
        image.stride[i] = next<ptrdiff_t>();
        image.bytes[i] = next<size_t>();
    }
    try {
        check_image(image, frames, "img0");
        std::cout << "0\n";
    } catch (const Error &error) {
        std::cout << error.status << " " << error.what() << "\n";
    }
}

void overlaps() {
    ifrnet_image images[2] = {};
    for (ifrnet_image &image : images) {
        image.size = sizeof image;
        put(image.layout, next<int>());
        image.width = next<int>();
        image.height = next<int>();
        auto address = static_cast<uintptr_t>(1 << 20) + next<uintptr_t>();
        const auto stride = next<ptrdiff_t>();
        for (int i = 0; i < plane_count(image.layout); i++) {
            const PlaneForm form = plane_form(image.layout, i, {image.width, image.height});
            const auto gaps = static_cast<uintptr_t>(std::abs(stride)) * static_cast<uintptr_t>(form.rows - 1);
            const uintptr_t first = stride < 0 ? address + gaps : address;
            std::memcpy(&image.plane[i], &first, sizeof first);
            image.stride[i] = stride;
            image.bytes[i] = gaps + form.row_bytes;
            address += static_cast<uintptr_t>(std::abs(stride)) * static_cast<uintptr_t>(form.rows);
        }
        check_image(image, {image.width, image.height}, "img0");
    }
    if (overlap(images[0], images[1]) != overlap(images[1], images[0])) std::exit(5);
    std::cout << overlap(images[0], images[1]) << "\n";
}

}  // namespace

int main() {
    std::ios::sync_with_stdio(false);
    std::string request;
    while (std::cin >> request) {
        if (request == "read" || request == "write") {
            convert(request == "read");
        } else if (request == "check") {
            check();
        } else if (request == "overlap") {
            overlaps();
        } else {
            return 3;
        }
    }
}
