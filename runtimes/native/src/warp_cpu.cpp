#include "warp_cpu.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "mat.h"
#include "option.h"

namespace ifrnet {
namespace {

// Where one output pixel reads: offsets of four elements in a channel, and how far it lies between them.
struct Place {
    size_t at[4]; // upper left, upper right, lower left, lower right
    float right, down;
};

// A position that is not a number is taken as 0.
float inside(float position, float last) { return position > 0.0f ? std::min(position, last) : 0.0f; }

Place place(float x, float y, int w, int h) {
    x = inside(x, float(w - 1));
    y = inside(y, float(h - 1));
    const int x0 = int(x), y0 = int(y);
    const size_t left = size_t(x0), right = size_t(std::min(x0 + 1, w - 1));
    const size_t upper = size_t(y0) * size_t(w), lower = size_t(std::min(y0 + 1, h - 1)) * size_t(w);
    return {{upper + left, upper + right, lower + left, lower + right}, x - float(x0), y - float(y0)};
}

// One row of one channel; an element is `pack` values, a number that the compiler knows, so that it makes vectors of them.
template <size_t pack>
void sample(const float *feature, const std::vector<Place> &places, float *top) {
    for (const Place &p : places) {
        const float *v00 = feature + p.at[0] * pack, *v01 = feature + p.at[1] * pack;
        const float *v10 = feature + p.at[2] * pack, *v11 = feature + p.at[3] * pack;
        for (size_t k = 0; k < pack; k++) {
            const float upper = v00[k] + (v01[k] - v00[k]) * p.right;
            const float lower = v10[k] + (v11[k] - v10[k]) * p.right;
            top[k] = upper + (lower - upper) * p.down;
        }
        top += pack;
    }
}

using Sample = void (*)(const float *, const std::vector<Place> &, float *);

Sample sampler(int pack) {
    return pack == 1 ? sample<1> : pack == 4 ? sample<4> : pack == 8 ? sample<8> : pack == 16 ? sample<16> : nullptr;
}

void warp_row(const ncnn::Mat &feature, const ncnn::Mat &flow, ncnn::Mat &top, int y, Sample sample_row,
              std::vector<Place> &places) {
    const float *flow_x = flow.channel(0).row(y), *flow_y = flow.channel(1).row(y);
    for (int x = 0; x < flow.w; x++)
        places[size_t(x)] = place(float(x) + flow_x[x], float(y) + flow_y[x], feature.w, feature.h);
    for (int c = 0; c < feature.c; c++) sample_row(feature.channel(c), places, top.channel(c).row(y));
}

}  // namespace

int warp_by_pixels(const ncnn::Mat &feature, const ncnn::Mat &flow, ncnn::Mat &top, const ncnn::Option &opt) try {
    const Sample sample_row = sampler(feature.elempack);
    const bool fits = feature.dims == 3 && flow.dims == 3 && flow.c == 2 && flow.elempack == 1 && flow.elemsize == 4 &&
                      feature.elemsize == 4 * size_t(feature.elempack) && feature.w == flow.w && feature.h == flow.h;
    if (!fits || !sample_row) return -1;
    top.create(flow.w, flow.h, feature.c, feature.elemsize, feature.elempack, opt.blob_allocator);
    if (top.empty()) return -100;
    // One list of places for each stripe of rows: memory is taken here, where a failure can still be told.
    const int stripes = std::max(1, std::min(opt.num_threads, flow.h));
    std::vector<std::vector<Place>> places(static_cast<size_t>(stripes), std::vector<Place>(size_t(flow.w)));
    #pragma omp parallel for num_threads(stripes)
    for (int i = 0; i < stripes; i++) {
        const int first = int(int64_t(flow.h) * i / stripes), end = int(int64_t(flow.h) * (i + 1) / stripes);
        for (int y = first; y < end; y++) warp_row(feature, flow, top, y, sample_row, places[size_t(i)]);
    }
    return 0;
} catch (const std::bad_alloc &) {
    return -100; // ncnn's code for it; ncnn may be built without exceptions
}

}  // namespace ifrnet
