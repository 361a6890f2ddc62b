// Checks of images, and the choice of the conversion; the conversions are in frames_rgb.cpp and frames_yuv.cpp.
#include "frames.h"

#include <cinttypes>
#include <cstring>
#include <string>

#include "error.h"
#include "frames_parts.h"

namespace ifrnet {

namespace {

constexpr const char *LAYOUTS[] = {"RGB", "BGR", "RGBA", "BGRA", "NV12", "NV21", "I420", "P010"};
constexpr const char *MATRICES[] = {"BT.709", "BT.601", "BT.2020"};
constexpr const char *RANGES[] = {"limited", "full"};
constexpr const char *POSITIONS[] = {"left", "center", "top left"};

template <size_t Count>
void check_choice(const char *what, const char *field, int32_t number, const char *const (&names)[Count]) {
    if (number >= 0 && static_cast<size_t>(number) < Count) return;
    std::string choices;
    for (size_t i = 0; i < Count; i++) {
        choices += (i ? ", " : "") + std::to_string(i) + " (" + names[i] + ")";
    }
    fail(IFRNET_FRAME,
         "%s.%s is %" PRId32 "; expected one of %s: take it from ifrnet.h, and zero the fields you do not set", what,
         field, number, choices.c_str());
}

bool is_rgb(int32_t layout) { return layout <= IFRNET_BGRA; }

// |stride|, for the smallest value too, whose negative is no ptrdiff_t.
size_t pitch_of(ptrdiff_t stride) {
    return stride < 0 ? size_t{0} - static_cast<size_t>(stride) : static_cast<size_t>(stride);
}

// Bytes from the lowest to the highest that the rows of a plane take; false where no size_t holds them.
bool extent_of(const PlaneForm &form, size_t pitch, size_t &extent) {
    const size_t gaps = static_cast<size_t>(form.rows) - 1;
    if (gaps && pitch > (SIZE_MAX - form.row_bytes) / gaps) return false;
    extent = gaps * pitch + form.row_bytes;
    return true;
}

// Whether the rows run beyond an end of the address space.
bool wraps(const void *first, bool upside_down, size_t extent, size_t row_bytes) {
    const auto address = reinterpret_cast<uintptr_t>(first);
    if (upside_down) return extent - row_bytes > address || row_bytes > UINTPTR_MAX - address;
    return extent > UINTPTR_MAX - address;
}

void check_plane(const ifrnet_image &image, Size frames, int plane, const char *what) {
    const PlaneForm form = plane_form(image.layout, plane, frames);
    const char *layout = LAYOUTS[image.layout];
    if (!image.plane[plane]) {
        fail(IFRNET_ARGUMENT, "%s.plane[%d] is NULL; expected the address of the first row of %s (%s)", what, plane,
             form.meaning, layout);
    }
    const ptrdiff_t stride = image.stride[plane];
    const size_t pitch = pitch_of(stride);
    if (pitch < form.row_bytes) {
        fail(IFRNET_FRAME,
             "%s.stride[%d] is %td; expected at least %zu, the bytes of a row of %s at %d pixels of %s, or its "
             "negative for rows that lie upside down",
             what, plane, stride, form.row_bytes, form.meaning, frames.width, layout);
    }
    size_t extent = 0;
    if (!extent_of(form, pitch, extent)) {
        fail(IFRNET_FRAME,
             "%s.stride[%d] is %td, with which %d rows are larger than memory can be; expected the bytes from a row to "
             "the one below",
             what, plane, stride, form.rows);
    }
    if (extent > image.bytes[plane]) {
        fail(IFRNET_FRAME,
             "%s.bytes[%d] is %zu; expected at least %zu, which %d rows with stride %td take: pass a larger plane, or "
             "the stride that it has",
             what, plane, image.bytes[plane], extent, form.rows, stride);
    }
    if (wraps(image.plane[plane], stride < 0, extent, form.row_bytes)) {
        fail(IFRNET_FRAME,
             "%s.plane[%d] is %p; expected an address with %zu bytes %s it: pass that of the first, upper row", what,
             plane, image.plane[plane], extent, stride < 0 ? "before" : "after");
    }
}

// Where the rows of a plane lie.
struct Span {
    uintptr_t low, high; // from the first byte to beyond the last one
    size_t pitch, row_bytes;
};

Span span_of(const ifrnet_image &image, int plane) {
    const PlaneForm form = plane_form(image.layout, plane, {image.width, image.height});
    const size_t pitch = pitch_of(image.stride[plane]);
    size_t extent = 0;
    extent_of(form, pitch, extent);
    const auto first = reinterpret_cast<uintptr_t>(image.plane[plane]);
    const uintptr_t low = image.stride[plane] < 0 ? first - (extent - form.row_bytes) : first;
    return {low, low + extent, pitch, form.row_bytes};
}

// Two halves of one picture lie between each other's rows, and share no byte: their columns tell, where both have one
// pitch.
bool share_bytes(const Span &a, const Span &b) {
    if (a.low >= b.high || b.low >= a.high) return false;
    if (a.pitch != b.pitch) return true;
    const size_t pitch = a.pitch;
    const size_t before = (a.low - b.low) % pitch;
    const size_t column = b.low >= a.low ? (b.low - a.low) % pitch : (pitch - before) % pitch;
    return column < a.row_bytes || column + b.row_bytes > pitch;
}

}  // namespace

int plane_count(int32_t layout) { return is_rgb(layout) ? 1 : layout == IFRNET_I420 ? 3 : 2; }

PlaneForm plane_form(int32_t layout, int plane, Size size) {
    const auto width = static_cast<size_t>(size.width), half = (width + 1) / 2;
    if (is_rgb(layout)) return {size.height, width * (layout >= IFRNET_RGBA ? 4 : 3), "the pixels"};
    const size_t sample = layout == IFRNET_P010 ? 2 : 1;
    if (plane == 0) return {size.height, width * sample, "Y"};
    const int rows = size.height / 2 + size.height % 2;
    if (layout == IFRNET_I420) return {rows, half, plane == 1 ? "U" : "V"};
    return {rows, 2 * half * sample, layout == IFRNET_NV21 ? "V and U" : "U and V"};
}

void check_image(const ifrnet_image &image, Size frames, const char *what) {
    if (image.width < 1 || image.height < 1) {
        fail(IFRNET_FRAME, "%s is %dx%d; expected %dx%d: set its width and height in pixels", what, image.width,
             image.height, frames.width, frames.height);
    }
    if (!(Size{image.width, image.height} == frames)) {
        fail(IFRNET_FRAME,
             "%s is %dx%d, the artifact takes %dx%d: scale it, or export another artifact with --size %dx%d", what,
             image.width, image.height, frames.width, frames.height, image.width, image.height);
    }
    check_choice(what, "layout", image.layout, LAYOUTS);
    if (!is_rgb(image.layout)) {
        check_choice(what, "matrix", image.matrix, MATRICES);
        check_choice(what, "range", image.range, RANGES);
        check_choice(what, "chroma", image.chroma, POSITIONS);
    }
    for (int plane = 0; plane < plane_count(image.layout); plane++) check_plane(image, frames, plane, what);
}

bool overlap(const ifrnet_image &a, const ifrnet_image &b) {
    for (int i = 0; i < plane_count(a.layout); i++) {
        for (int j = 0; j < plane_count(b.layout); j++) {
            if (share_bytes(span_of(a, i), span_of(b, j))) return true;
        }
    }
    return false;
}

void read_image(const ifrnet_image &image, float *planes, size_t plane_stride, int threads) {
    const Planes<float> to{planes, plane_stride, image.width, threads};
    is_rgb(image.layout) ? read_rgb(image, to) : read_yuv(image, to);
}

void write_image(const float *planes, size_t plane_stride, const ifrnet_image &image, int threads) {
    const Planes<const float> from{planes, plane_stride, image.width, threads};
    is_rgb(image.layout) ? write_rgb(from, image) : write_yuv(from, image);
}

}  // namespace ifrnet
