// The shape of every blob of a network, followed from layer to layer as ncnn computes them.
#pragma once
#include <map>

#include "network.h"

namespace ifrnet {

inline constexpr int64_t MAX_SIDE = 1 << 20, MAX_VALUES = int64_t(1) << 30; // of a blob; ncnn counts in int

// Of a blob: `dims` axes (w; w and h; w, h and c), the others are 1. `bytes` of a value: 4, or 1 between int8 layers.
struct Shape {
    int dims = 3;
    int64_t w = 1, h = 1, c = 1;
    int bytes = 4;

    int64_t values() const { return w * h * c; }
    bool operator==(const Shape &o) const {
        return dims == o.dims && w == o.w && h == o.h && c == o.c && bytes == o.bytes;
    }
};

// Counts model.bin off, layer after layer.
class WeightCounter {
public:
    explicit WeightCounter(const Bytes &data) : data_(data) {}

    // `count` values of four bytes.
    void plain(int64_t count);

    // The same behind a tag that states their type; returns whether they are int8.
    bool tagged(int64_t count);

    // Throws std::invalid_argument where bytes are left.
    void finish() const;

private:
    void take(int64_t count, int64_t each);

    const Bytes &data_;
    size_t at_ = 0;
};

// Throws std::invalid_argument where a layer would read or write beyond a blob, or make one that is too large.
void check_shapes(const std::vector<Layer> &layers, const Bytes &weights, Size frames);

// Whether this library runs layers of a kind; which parameters they may have. Throws std::invalid_argument.
void check_parameters(const Layer &layer);

// The values of a parameter that is a list; empty where it is missing.
std::vector<std::string> list_of(const Layer &layer, int key);

// ---- of shapes.cpp, kernels.cpp and shape_text.cpp
// ---------------------------------------------------------------------------

// Throws std::invalid_argument that names the layer.
[[noreturn]] void refuse(const Layer &layer, const std::string &what);

std::string text_of(const Shape &shape);

// A parameter, or what ncnn takes when it is not given; throws std::invalid_argument where it leaves its range.
int64_t within(const Layer &layer, int key, int64_t otherwise, int64_t low, int64_t high);

// Throws std::invalid_argument where a blob has no three axes.
void expect_frame(const Layer &layer, const Shape &shape);

// The sides, the innermost first, that a text like "1,1,//(6,0n)" states for a blob of another shape.
std::vector<int64_t> read_shape(const Layer &layer, const std::string &text, const Shape &in);

// What a layer of that kind makes of a blob.
Shape convolution(const Layer &layer, const Shape &in, WeightCounter &weights);
Shape deconvolution(const Layer &layer, const Shape &in, WeightCounter &weights);
Shape pooling(const Layer &layer, const Shape &in);

}  // namespace ifrnet
