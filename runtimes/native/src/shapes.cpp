#include "shapes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "decimal.h"
#include "error.h"

namespace ifrnet {

namespace {

// Values of all blobs together, by the frame's pixels: 640 in ifrnet_s, 1530 in ifrnet_l, four times that with
// --scale 2.
constexpr int64_t MAX_PER_PIXEL = 8192;

// Of a parameter that may be a decimal number.
double decimal(const Layer &layer, int key, double otherwise) {
    for (const auto &item : layer.numbers)
        if (item.first == key) return read_decimal(item.second);
    return otherwise;
}

std::vector<int64_t> wholes(const Layer &layer, int key) {
    std::vector<int64_t> found;
    for (const std::string &part : list_of(layer, key)) {
        if (part.find_first_not_of("-0123456789") != std::string::npos) refuse(layer, "has a list of decimal numbers");
        found.push_back(int64_t(read_decimal(part)));
    }
    return found;
}

int64_t &side(Shape &shape, int64_t axis) { // as ncnn counts axes: the outermost first
    int64_t from_inner = shape.dims - 1 - axis;
    return from_inner == 0 ? shape.w : from_inner == 1 ? shape.h : shape.c;
}

int64_t read_axis(const Layer &layer, int key, const Shape &shape) {
    int64_t axis = within(layer, key, 0, -shape.dims, shape.dims - 1);
    return axis < 0 ? axis + shape.dims : axis;
}

Shape warp(const Layer &layer, const Shape &in, const Shape &grid) {
    expect_frame(layer, in);
    if (layer.kind == "GridSample") { // the only form that warp.h has
        within(layer, 0, 1, 1, 1);
        within(layer, 1, 1, 2, 2);
        within(layer, 2, 0, 1, 1);
        within(layer, 3, 0, 1, 1);
    }
    if (!(grid == Shape{3, in.w, in.h, 2, 4})) refuse(layer, "warps " + text_of(in) + " by " + text_of(grid));
    return in;
}

Shape interp(const Layer &layer, const Shape &in) {
    expect_frame(layer, in);
    within(layer, 0, 0, 1, 2); // nearest, bilinear
    within(layer, 6, 0, 0, 1);
    Shape out = in;
    out.h = within(layer, 3, 0, 0, MAX_SIDE);
    out.w = within(layer, 4, 0, 0, MAX_SIDE);
    if (out.w != 0 && out.h != 0) return out;
    if (out.w != 0 || out.h != 0) refuse(layer, "states one side of its output");
    for (int key : {1, 2}) { // in float32, as ncnn
        float scale = float(decimal(layer, key, 1.0)), made = float(key == 1 ? in.h : in.w) * scale;
        if (!(scale >= 1.0f / 64 && scale <= 64.0f && made >= 1.0f))
            refuse(layer, "scales by " + write_decimal(double(scale)));
        (key == 1 ? out.h : out.w) = int64_t(made);
    }
    return out;
}

std::vector<int64_t> stated_shape(const Layer &layer, const Shape &in) {
    for (const auto &item : layer.numbers) {
        if (item.first != 6) continue;
        std::vector<int64_t> sides = read_shape(layer, item.second.substr(1, item.second.size() - 2), in);
        int64_t batch = within(layer, 12, 233, 0, 233);
        if (batch != within(layer, 13, 233, 0, 233) || (batch != 0 && batch != 233)) refuse(layer, "moves the batch");
        if (batch == 233) return sides;
        if (sides.back() != 1) refuse(layer, "makes a batch of " + std::to_string(sides.back()));
        sides.pop_back();
        return sides;
    }
    std::vector<int64_t> sides;
    for (int key : {0, 1, 2}) {
        int value = layer.number(key, -233);
        if (value == -233) break;
        sides.push_back(value);
    }
    return sides;
}

Shape reshape(const Layer &layer, const Shape &in) {
    std::vector<int64_t> sides = stated_shape(layer, in);
    if (sides.empty() || sides.size() > 3) refuse(layer, "makes a blob of " + std::to_string(sides.size()) + " sides");
    const int64_t old[3] = {in.w, in.h, in.c};
    int64_t known = 1;
    for (size_t i = 0; i < sides.size(); i++) {
        if (sides[i] == 0) sides[i] = old[i];
        if (sides[i] < -1 || sides[i] > MAX_VALUES || known > MAX_VALUES)
            refuse(layer, "makes a side of " + std::to_string(sides[i]));
        if (sides[i] > 0) known *= sides[i];
    }
    Shape out{int(sides.size()), 1, 1, 1, 4};
    for (size_t i = 0; i < sides.size(); i++)
        (i == 0 ? out.w : i == 1 ? out.h : out.c) = sides[i] == -1 ? in.values() / known : sides[i];
    if (std::count(sides.begin(), sides.end(), -1) > 1 || known > MAX_VALUES || out.values() != in.values())
        refuse(layer, "makes " + text_of(out) + " of " + text_of(in));
    return out;
}

Shape crop(const Layer &layer, const Shape &in) {
    std::vector<int64_t> starts = wholes(layer, 9), ends = wholes(layer, 10), axes = wholes(layer, 11);
    if (starts.empty() || starts.size() > 3 || ends.size() != starts.size() || axes.size() != starts.size())
        refuse(layer, "states starts, ends and axes of other lengths");
    Shape out = in, done = in;
    for (size_t i = 0; i < axes.size(); i++) {
        if (axes[i] < 0 || axes[i] >= in.dims) refuse(layer, "cuts an axis that is not there");
        int64_t &length = side(out, axes[i]), &whole = side(done, axes[i]);
        if (starts[i] < 0 || ends[i] <= starts[i] || ends[i] > whole) refuse(layer, "cuts beyond its " + text_of(in));
        length = ends[i] - starts[i];
        whole = 0; // an axis that stands there twice
    }
    return out;
}

Shape padding(const Layer &layer, const Shape &in) {
    expect_frame(layer, in);
    within(layer, 4, 0, 0, 1); // a value, or that of the border
    within(layer, 6, 0, 0, 0);
    Shape out = in;
    out.h += within(layer, 0, 0, 0, 4096) + within(layer, 1, 0, 0, 4096);
    out.w += within(layer, 2, 0, 0, 4096) + within(layer, 3, 0, 0, 4096);
    return out;
}

Shape tile(const Layer &layer, const Shape &in) {
    Shape out = in;
    std::vector<int64_t> repeats = wholes(layer, 2);
    if (repeats.empty())
        repeats.assign(size_t(in.dims), 1), repeats[size_t(read_axis(layer, 0, in))] = layer.number(1, 1);
    if (repeats.size() != size_t(in.dims)) refuse(layer, "repeats along other axes than " + text_of(in) + " has");
    for (size_t i = 0; i < repeats.size(); i++) {
        if (repeats[i] < 1 || repeats[i] > MAX_SIDE) refuse(layer, "repeats " + std::to_string(repeats[i]) + " times");
        side(out, int64_t(i)) *= repeats[i];
    }
    return out;
}

Shape pixel_shuffle(const Layer &layer, const Shape &in) {
    expect_frame(layer, in);
    within(layer, 1, 0, 0, 1);
    int64_t factor = within(layer, 0, 1, 1, 64);
    if (in.c % (factor * factor) != 0) refuse(layer, "reads " + std::to_string(in.c) + " channels");
    return {3, in.w * factor, in.h * factor, in.c / (factor * factor), 4};
}

Shape memory_data(const Layer &layer, WeightCounter &weights) {
    const int64_t sides[3] = {within(layer, 0, 0, 1, MAX_SIDE), within(layer, 1, 0, 0, MAX_SIDE),
                              within(layer, 2, 0, 0, MAX_SIDE)};
    if (sides[1] == 0 && sides[2] != 0) refuse(layer, "has no height");
    Shape out{1 + (sides[1] > 0) + (sides[2] > 0), sides[0], std::max<int64_t>(sides[1], 1),
              std::max<int64_t>(sides[2], 1), 4};
    if (out.w * out.h > MAX_VALUES || out.values() > MAX_VALUES) refuse(layer, "is too large");
    if (within(layer, 21, 1, 0, 1) == 1) {
        weights.plain(out.values());
    } else if (weights.tagged(out.values())) {
        refuse(layer, "holds int8");
    }
    return out;
}

Shape prelu(const Layer &layer, const Shape &in, WeightCounter &weights) {
    int64_t slopes = within(layer, 0, 0, 1, 1 << 16), channels = in.dims == 1 ? in.w : in.dims == 2 ? in.h : in.c;
    if (slopes != 1 && slopes != channels)
        refuse(layer, "has " + std::to_string(slopes) + " slopes for " + std::to_string(channels) + " channels");
    weights.plain(slopes);
    return in;
}

Shape binary(const Layer &layer, const std::vector<Shape> &in) {
    within(layer, 0, 0, 0, 11);
    if (in.size() != (within(layer, 1, 0, 0, 1) == 1 ? 1u : 2u))
        refuse(layer, "has another number of inputs than it states");
    if (in.size() == 1) return in[0];
    Shape a = in[0], b = in[1], out = a;
    bool fits = a.dims == b.dims; // ncnn guesses which axes others mean
    for (int axis = 0; fits && axis < a.dims; axis++) {
        int64_t x = side(a, axis), y = side(b, axis);
        fits = x == y || x == 1 || y == 1;
        side(out, axis) = std::max(x, y);
    }
    if (!fits) refuse(layer, "reads " + text_of(a) + " and " + text_of(b));
    return out;
}

Shape eltwise(const Layer &layer, const std::vector<Shape> &in) {
    within(layer, 0, 0, 0, 2);
    size_t factors = list_of(layer, 1).size();
    for (const Shape &other : in)
        if (!(other == in[0])) refuse(layer, "reads " + text_of(in[0]) + " and " + text_of(other));
    if (factors != 0 && factors != in.size()) refuse(layer, "has " + std::to_string(factors) + " factors");
    return in[0];
}

Shape concat(const Layer &layer, const std::vector<Shape> &in) {
    Shape out = in[0];
    const int64_t axis = read_axis(layer, 0, out);
    int64_t length = 0;
    for (const Shape &given : in) {
        Shape other = given;
        if (other.dims != out.dims) refuse(layer, "reads " + text_of(in[0]) + " and " + text_of(other));
        length += side(other, axis);
        side(other, axis) = side(out, axis);
        if (!(other == out)) refuse(layer, "reads " + text_of(in[0]) + " and " + text_of(given));
    }
    side(out, axis) = length;
    return out;
}

std::vector<Shape> slice(const Layer &layer, const Shape &in) {
    const std::vector<int64_t> parts = wholes(layer, 0);
    const int64_t axis = read_axis(layer, 1, in);
    std::vector<Shape> outs(layer.outputs.size(), in);
    int64_t rest = side(outs[0], axis);
    if (parts.size() != outs.size()) refuse(layer, "states " + std::to_string(parts.size()) + " parts");
    for (size_t i = 0; i < outs.size(); i++) {
        int64_t part = parts[i] == -233 ? rest / int64_t(outs.size() - i) : parts[i];
        if (part < 1 || part > rest)
            refuse(layer, "takes " + std::to_string(part) + " of " + std::to_string(rest) + " left");
        side(outs[i], axis) = part;
        rest -= part;
    }
    if (rest != 0) refuse(layer, "leaves " + std::to_string(rest) + " of " + text_of(in));
    return outs;
}

Shape input(const Layer &layer, Size frames) {
    const std::string &blob = layer.outputs[0];
    const bool frame = blob == "in0" || blob == "in1";
    if (!frame && blob != "in2") refuse(layer, "is none of in0, in1 and in2");
    const Shape shape = frame ? Shape{3, frames.width, frames.height, 3, 4} : Shape{3, 1, 1, 1, 4};
    const int64_t expected[3] = {shape.w, shape.h, shape.c};
    for (int key : {0, 1, 2}) { // a frame states its size: an artifact of another one would read beyond it
        int stated = layer.number(key, 0);
        if (stated != expected[key] && (frame || stated != 0))
            refuse(layer, "takes " + std::to_string(stated) + " where the manifest says " + text_of(shape));
    }
    return shape;
}

std::vector<Shape> outputs_of(const Layer &layer, const std::vector<Shape> &in, WeightCounter &weights, Size frames) {
    const std::string &kind = layer.kind;
    if (kind == "Input") return {input(layer, frames)};
    if (kind == "MemoryData") return {memory_data(layer, weights)};
    if (kind == "Convolution") return {convolution(layer, in[0], weights)};
    if (kind == "Split") return std::vector<Shape>(layer.outputs.size(), in[0]);
    for (const Shape &shape : in)
        if (shape.bytes != 4) refuse(layer, "reads " + text_of(shape));
    if (kind == "Deconvolution") return {deconvolution(layer, in[0], weights)};
    if (kind == "PReLU") return {prelu(layer, in[0], weights)};
    if (kind == "BinaryOp") return {binary(layer, in)};
    if (kind == "Concat") return {concat(layer, in)};
    if (kind == "Crop") return {crop(layer, in[0])};
    if (kind == "Eltwise") return {eltwise(layer, in)};
    if (kind == "GridSample" || kind == "IfrnetWarp") return {warp(layer, in[0], in[1])};
    if (kind == "Interp") return {interp(layer, in[0])};
    if (kind == "Padding") return {padding(layer, in[0])};
    if (kind == "PixelShuffle") return {pixel_shuffle(layer, in[0])};
    if (kind == "Pooling") return {pooling(layer, in[0])};
    if (kind == "Reshape") return {reshape(layer, in[0])};
    if (kind == "Slice") return slice(layer, in[0]);
    if (kind == "Tile") return {tile(layer, in[0])};
    if (kind == "Clip" || kind == "Power" || kind == "Sigmoid") return {in[0]};
    refuse(layer, "is of a kind that this library does not run");
}

}  // namespace

void check_shapes(const std::vector<Layer> &layers, const Bytes &weights, Size frames) {
    WeightCounter counter(weights);
    std::map<std::string, Shape> shapes;
    int64_t total = 0;
    const int64_t most = MAX_PER_PIXEL * std::max<int64_t>(int64_t(frames.width) * frames.height, 64 * 64);
    for (const Layer &layer : layers) {
        std::vector<Shape> in;
        for (const std::string &blob : layer.inputs) in.push_back(shapes.at(blob));
        const std::vector<Shape> out = outputs_of(layer, in, counter, frames);
        for (size_t i = 0; i < out.size(); i++) {
            const Shape &shape = out[i];
            if (shape.w > MAX_SIDE || shape.h > MAX_SIDE || shape.c > MAX_SIDE || shape.w * shape.h > MAX_VALUES ||
                shape.w * shape.h * shape.c > MAX_VALUES)
                refuse(layer, "makes a blob that is too large: " + text_of(shape));
            total += layer.kind == "Split" ? 0 : shape.values(); // a split copies nothing
            if (total > most)
                refuse(layer, "makes more than " + std::to_string(MAX_PER_PIXEL) + " values a pixel in all");
            shapes[layer.outputs[i]] = shape;
        }
    }
    for (const char *blob : {"in0", "in1", "in2"})
        if (shapes.count(blob) == 0) throw std::invalid_argument(std::string("it has no input ") + blob);
    auto last = shapes.find("out0");
    if (last == shapes.end() || !(last->second == Shape{3, frames.width, frames.height, 3, 4}))
        throw std::invalid_argument("it gives " + (last == shapes.end() ? "no out0" : text_of(last->second)) +
                                    " where a frame is expected");
    counter.finish();
}

}  // namespace ifrnet
