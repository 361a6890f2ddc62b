#include "orientation.h"

#include <cstring>

namespace program {

namespace {

constexpr uint32_t TAG = 0x0112, SHORT = 3;

// A part of the file. What lies beyond its end reads as 0.
struct Part {
    const uint8_t *data;
    size_t size;
    bool little = false; // the order of bytes

    uint32_t byte(size_t at) const { return at < size ? data[at] : 0; }
    uint32_t word(size_t at) const {
        return little ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1);
    }
    uint32_t twice(size_t at) const {
        return little ? word(at) | word(at + 2) << 16 : word(at) << 16 | word(at + 2);
    }
};

// From the first directory of a TIFF header, as Exif has one.
int in_tiff(Part tiff) {
    tiff.little = tiff.byte(0) == 'I';
    if (tiff.word(2) != 42) return 1;
    const size_t directory = tiff.twice(4);
    const uint32_t entries = tiff.word(directory);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t entry = directory + 2 + size_t{12} * i;
        if (tiff.word(entry) != TAG || tiff.word(entry + 2) != SHORT) continue;
        const uint32_t value = tiff.word(entry + 8);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

int in_jpeg(const Part &whole) {
    size_t at = 2;
    while (at + 4 <= whole.size && whole.byte(at) == 0xff) { // a segment: 0xff, kind, length without these two
        const uint32_t kind = whole.byte(at + 1), length = whole.word(at + 2);
        if (kind == 0xda || length < 2 || at + 2 + length > whole.size) return 1; // 0xda: pixels follow
        const uint8_t *content = whole.data + at + 4;
        if (kind == 0xe1 && length >= 8 && std::memcmp(content, "Exif\0", 6) == 0) {
            return in_tiff({content + 6, length - 8});
        }
        at += 2 + length;
    }
    return 1;
}

// The chunk may stand before the pixels or after them.
int in_png(const Part &whole) {
    size_t at = 8;
    while (at + 12 <= whole.size) { // a chunk: length of the content, kind, content, checksum
        const size_t length = whole.twice(at);
        if (length > whole.size - at - 12) return 1;
        if (std::memcmp(whole.data + at + 4, "eXIf", 4) == 0) return in_tiff({whole.data + at + 8, length});
        at += 12 + length;
    }
    return 1;
}

}  // namespace

int orientation(const std::vector<uint8_t> &file) {
    const Part whole{file.data(), file.size()};
    if (whole.word(0) == 0xffd8) return in_jpeg(whole);
    return whole.twice(0) == 0x89504e47 ? in_png(whole) : 1;
}

std::vector<uint8_t> upright(const std::vector<uint8_t> &stored, int width, int height, int orientation) {
    if (orientation == 1) return stored;
    const bool swapped = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    std::vector<uint8_t> turned;
    turned.reserve(stored.size());
    for (int y = 0; y < (swapped ? width : height); y++) {
        for (int x = 0; x < (swapped ? height : width); x++) {
            const int column = swapped ? y : x, row = swapped ? x : y;
            const int from_x = from_right ? width - 1 - column : column, from_y = from_below ? height - 1 - row : row;
            const size_t row_at = static_cast<size_t>(from_y) * static_cast<size_t>(width);
            const size_t at = 3 * (row_at + static_cast<size_t>(from_x));
            turned.insert(turned.end(), {stored[at], stored[at + 1], stored[at + 2]});
        }
    }
    return turned;
}

}  // namespace program
