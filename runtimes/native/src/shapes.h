// The shape of every blob of a network, followed from layer to layer as ncnn computes them.
#pragma once
#include <map>

#include "network.h"

namespace ifrnet {

// Of a blob: `dims` axes (w; w and h; w, h and c), the others are 1. `bytes` of a value: 4, or 1 between int8 layers.
struct Shape {
    int dims = 3;
    int64_t w = 1, h = 1, c = 1;
    int bytes = 4;

    int64_t values() const { return w * h * c; }
    bool operator==(const Shape &o) const { return dims == o.dims && w == o.w && h == o.h && c == o.c && bytes == o.bytes; }
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

}  // namespace ifrnet
