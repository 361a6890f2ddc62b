// What the conversions of images share: how the planes of a layout lie in memory, rows in parallel, rounding.
#pragma once
#include <cstddef>
#include <cstdint>

#include "frames.h"

#ifdef __FAST_MATH__
#error "compile without -ffast-math: it removes the rounding below and the test for NaN"
#endif

namespace ifrnet {

// What one plane of an image has to hold.
struct PlaneForm {
    int rows = 0;
    size_t row_bytes = 0;
    const char *meaning = ""; // for messages: "U and V"
};

// The number of planes of a known layout, and the form of each in an image of a size.
int plane_count(int32_t layout);
PlaneForm plane_form(int32_t layout, int plane, Size size);

// Row `row` of a plane; rows that lie upside down have a negative stride.
inline uint8_t *row_of(const ifrnet_image &image, int plane, int row) {
    return static_cast<uint8_t *>(image.plane[plane]) + image.stride[plane] * row;
}

// Three planes of float32, rows without gaps, and how many threads may work on them.
template <class Value> struct Planes {
    Value *first;
    size_t stride; // values from plane to plane
    int width, threads;

    Value *row(int plane, int y) const {
        return first + stride * static_cast<size_t>(plane) + static_cast<size_t>(width) * static_cast<size_t>(y);
    }
};

void read_rgb(const ifrnet_image &image, const Planes<float> &planes);
void write_rgb(const Planes<const float> &planes, const ifrnet_image &image);
void read_yuv(const ifrnet_image &image, const Planes<float> &planes);
void write_yuv(const Planes<const float> &planes, const ifrnet_image &image);

// Fewer pixels are done by one thread: waking others takes longer.
inline constexpr int64_t PARALLEL_PIXELS = 1 << 15;

// work(row) for each row, in any order, on `threads` threads. It must not throw. Without if(): ncnn's simpleomp, which
// stands in for OpenMP on Apple's systems, lacks what clang calls for it.
template <class Work> void for_rows(int rows, int64_t pixels, int threads, const Work &work) {
    if (pixels < PARALLEL_PIXELS) threads = 1;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads)
#endif
    for (int row = 0; row < rows; row++) work(row);
}

// In [0, peak]; NaN becomes 0.
inline float clamped(float value, float peak) {
    const float positive = value > 0.0f ? value : 0.0f;
    return positive < peak ? positive : peak;
}

// In [0, 1]. A loop of its own: gcc makes branches of a clamp and a rounding in one loop, and vectorises neither.
inline void clamp_row(const float *__restrict from, float *__restrict to, int count) {
    for (int i = 0; i < count; i++) to[i] = clamped(from[i], 1.0f);
}

// The integer next to a value in [0, 2^22], half to even: a float has 24 bits, so that the sum has none left for the
// fraction. Unlike nearbyint this is vectorised on every processor.
inline int rounded(float value) {
    constexpr float SHIFT = 12582912.0f; // 1.5 * 2^23
    return static_cast<int>((value + SHIFT) - SHIFT);
}

}  // namespace ifrnet
