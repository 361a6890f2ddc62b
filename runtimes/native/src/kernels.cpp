// Layers with windows and weights: how far they reach, and what they take of model.bin.
#include <stdexcept>

#include "error.h"
#include "shapes.h"

namespace ifrnet {

void refuse(const Layer &layer, const std::string &what) {
    throw std::invalid_argument("layer " + one_line(layer.name, 40) + " (" + one_line(layer.kind, 40) + ") " + what);
}

std::string text_of(const Shape &shape) {
    std::string text = std::to_string(shape.w);
    if (shape.dims > 1) text += "x" + std::to_string(shape.h);
    if (shape.dims > 2) text += "x" + std::to_string(shape.c);
    return text + (shape.bytes == 1 ? " int8" : "");
}

int64_t within(const Layer &layer, int key, int64_t otherwise, int64_t low, int64_t high) {
    int64_t value = layer.number(key, int(otherwise));
    if (value < low || value > high)
        refuse(layer, "has the parameter " + std::to_string(key) + "=" + std::to_string(value) + "; expected " +
                          std::to_string(low) + " to " + std::to_string(high));
    return value;
}

void expect_frame(const Layer &layer, const Shape &shape) {
    if (shape.dims != 3) refuse(layer, "reads " + text_of(shape) + ", which is no frame");
}

namespace {

// A convolution's kernel, dilation, stride and padding along one axis; keys as of ncnn.
struct Window {
    int64_t extent, stride, before, after;
};

Window read_window(const Layer &layer, bool down) {
    auto of = [&](int across, int along, int64_t least) {
        int64_t value = within(layer, across, least, least, 64);
        return down ? within(layer, along, value, least, 64) : value;
    };
    int64_t kernel = of(1, 11, 1), dilation = of(2, 12, 1), stride = of(3, 13, 1), before = of(4, 14, 0);
    return {dilation * (kernel - 1) + 1, stride, before, within(layer, down ? 16 : 15, before, 0, 64)};
}

void check_activation(const Layer &layer) {
    int64_t type = within(layer, 9, 0, 0, 6);
    size_t least = type == 2 ? 1 : type == 3 || type == 6 ? 2 : 0;
    if (list_of(layer, 10).size() < least) refuse(layer, "lacks numbers of its activation");
}

// Weights of a convolution of either direction, and what follows them in the file; returns the outputs' channels.
int64_t take_kernels(const Layer &layer, const Shape &in, WeightCounter &weights, int64_t quantised) {
    if (layer.number(1, 0) < 1) refuse(layer, "has no kernel");
    check_activation(layer);
    const int64_t across = within(layer, 1, 1, 1, 64), kernel = across * within(layer, 11, across, 1, 64);
    const int64_t outputs = within(layer, 0, 0, 1, 1 << 16), stated = within(layer, 6, 0, 1, 1 << 26);
    if (stated != outputs * in.c * kernel)
        refuse(layer, "has " + std::to_string(stated) + " weights for " + std::to_string(in.c) + " channels to " +
                          std::to_string(outputs));
    if (weights.tagged(stated) && quantised == 0) refuse(layer, "has int8 weights without scales");
    if (within(layer, 5, 0, 0, 1) == 1) weights.plain(outputs);
    if (quantised > 0) weights.plain(outputs + 1);
    if (quantised > 100) weights.plain(1);
    return outputs;
}

}  // namespace

Shape convolution(const Layer &layer, const Shape &in, WeightCounter &weights) {
    expect_frame(layer, in);
    const int64_t quantised = layer.number(8, 0);
    if (quantised != 0 && quantised != 1 && quantised != 2 && quantised != 101 && quantised != 102)
        refuse(layer, "has the parameter 8=" + std::to_string(quantised) + ", which this library does not know");
    if (in.bytes != 4 && quantised == 0) refuse(layer, "reads " + text_of(in) + " without scales");
    Shape out{3, 1, 1, take_kernels(layer, in, weights, quantised), quantised > 100 ? 1 : 4};
    for (bool down : {false, true}) {
        Window window = read_window(layer, down);
        int64_t room = (down ? in.h : in.w) + window.before + window.after - window.extent;
        if (room < 0) refuse(layer, "has a window that is larger than its frame of " + text_of(in));
        (down ? out.h : out.w) = room / window.stride + 1;
    }
    return out;
}

Shape deconvolution(const Layer &layer, const Shape &in, WeightCounter &weights) {
    expect_frame(layer, in);
    Shape out{3, 1, 1, take_kernels(layer, in, weights, 0), 4};
    const int64_t more = within(layer, 18, 0, 0, 64);
    for (bool down : {false, true}) {
        Window window = read_window(layer, down);
        int64_t extra = down ? within(layer, 19, more, 0, 64) : more;
        if (extra > 0 && extra >= window.stride) refuse(layer, "adds more rows than its stride");
        int64_t made =
            ((down ? in.h : in.w) - 1) * window.stride + window.extent + extra - window.before - window.after;
        if (made < 1) refuse(layer, "cuts off all of its frame");
        (down ? out.h : out.w) = made;
    }
    return out;
}

Shape pooling(const Layer &layer, const Shape &in) {
    expect_frame(layer, in);
    within(layer, 0, 0, 0, 1);
    if (within(layer, 4, 0, 0, 1) == 1) return {1, in.c, 1, 1, 4};
    const int64_t mode = within(layer, 5, 0, 0, 1); // 0: a last window that is cut; 1: whole windows only
    Shape out = in;
    for (bool down : {false, true}) {
        auto of = [&](int across, int along, int64_t least) {
            int64_t value = within(layer, across, least, least, 16384);
            return down ? within(layer, along, value, least, 16384) : value;
        };
        int64_t kernel = of(1, 11, 1), stride = of(2, 12, 1), before = of(3, 13, 0);
        int64_t after = within(layer, down ? 15 : 14, before, 0, 16384);
        int64_t room = (down ? in.h : in.w) + before + after - kernel;
        if (room < 0 || before >= kernel || after >= kernel)
            refuse(layer, "has a window that is larger than its frame of " + text_of(in));
        (down ? out.h : out.w) = (room + (mode == 0 ? stride - 1 : 0)) / stride + 1;
    }
    return out;
}

void WeightCounter::take(int64_t count, int64_t each) {
    const int64_t bytes = (count * each + 3) / 4 * 4;
    if (bytes > int64_t(data_.size() - at_))
        throw std::invalid_argument("it needs more weights than the " + std::to_string(data_.size()) +
                                    " bytes of its .bin");
    at_ += size_t(bytes);
}

void WeightCounter::plain(int64_t count) { take(count, 4); }

bool WeightCounter::tagged(int64_t count) {
    const size_t before = at_;
    take(1, 4);
    uint32_t tag = 0;
    for (size_t i = 0; i < 4; i++) tag |= uint32_t(data_[before + i]) << (8 * i);
    if (tag != 0 && tag != 0x01306B47 && tag != 0x01348B83 && tag != 0x000D4B38)
        throw std::invalid_argument("weights of an unknown type at byte " + std::to_string(before) + " of its .bin");
    const bool int8 = tag == 0x000D4B38;
    take(count, tag == 0 ? 4 : int8 ? 1 : 2); // float32; float16 and bfloat16
    return int8;
}

void WeightCounter::finish() const {
    if (at_ != data_.size())
        throw std::invalid_argument(std::to_string(data_.size() - at_) + " bytes of its .bin are of no layer");
}

}  // namespace ifrnet
