#include "constants.h"

#include <cstring>
#include <stdexcept>

namespace ifrnet {
namespace {

// How ncnn marks the weights of a convolution.
constexpr uint32_t FLOAT16 = 0x01306B47, BFLOAT16 = 0x01348B83, INT8 = 0x000D4B38, FLOAT32 = 0x0002C056, UNMARKED = 0;

constexpr size_t MOST = size_t(1) << 28; // weights of one layer

size_t count(const Layer &layer, int key, int otherwise) {
    const int value = layer.number(key, otherwise);
    if (value < 0 || size_t(value) > MOST) throw std::invalid_argument("layer " + layer.name + " states no number of weights");
    return size_t(value);
}

// Walks along a .bin as ncnn reads it.
class Reader {
public:
    explicit Reader(const Bytes &bytes) : bytes_(bytes) {}

    void skip(size_t size) {
        if (size > bytes_.size() - at_) throw std::invalid_argument("the weights end too early");
        at_ += size;
    }

    std::vector<float> floats(size_t number) {
        const size_t begin = at_;
        skip(number * sizeof(float));
        std::vector<float> values(number);
        if (number) std::memcpy(values.data(), bytes_.data() + begin, number * sizeof(float));
        return values;
    }

    // Weights with a mark of their type in front, filled up to four bytes.
    void skip_marked(size_t number) {
        const size_t begin = at_;
        uint32_t mark;
        skip(sizeof mark);
        std::memcpy(&mark, bytes_.data() + begin, sizeof mark);
        const size_t width = mark == FLOAT16 || mark == BFLOAT16 ? 2 : mark == INT8 ? 1 : 4;
        if (width == 4 && mark != FLOAT32 && mark != UNMARKED) throw std::invalid_argument("weights of an unknown type");
        skip((number * width + 3) / 4 * 4);
    }

private:
    const Bytes &bytes_;
    size_t at_ = 0;
};

void skip_convolution(const Layer &layer, Reader &reader) {
    const size_t outputs = count(layer, 0, 0);
    reader.skip_marked(count(layer, 6, 0));
    if (layer.number(5, 0) != 0) reader.skip(outputs * sizeof(float)); // bias
    const int scales = layer.kind == "Convolution" ? layer.number(8, 0) : 0; // of int8
    if (scales != 0) reader.skip((outputs + 1) * sizeof(float));
    if (scales > 100) reader.skip(sizeof(float));
}

Constant read_constant(const Layer &layer, Reader &reader) {
    const size_t w = count(layer, 0, 0), h = count(layer, 1, 0), d = count(layer, 11, 0), c = count(layer, 2, 0);
    const size_t rows = h ? h : 1, planes = (d ? d : 1) * (c ? c : 1);
    if (layer.number(21, 1) != 1 || w == 0 || rows > MOST / w || planes > MOST / (w * rows))
        throw std::invalid_argument("layer " + layer.name + " is no constant in float32");
    return {int(w), int(rows), int(planes), reader.floats(w * rows * planes)};
}

}  // namespace

float Constant::at(int channel, int y, int x) const {
    const size_t row = h == 1 ? 0 : size_t(y), column = w == 1 ? 0 : size_t(x);
    return values[(size_t(channel) * size_t(h) + row) * size_t(w) + column];
}

std::map<std::string, Constant> read_constants(const std::vector<Layer> &layers, const Bytes &weights) {
    std::map<std::string, Constant> known;
    Reader reader(weights);
    for (const Layer &layer : layers) {
        if (layer.kind == "Convolution" || layer.kind == "Deconvolution") skip_convolution(layer, reader);
        if (layer.kind == "PReLU") reader.skip(count(layer, 0, 0) * sizeof(float));
        if (layer.kind == "MemoryData") {
            Constant constant = read_constant(layer, reader);
            if (layer.number(11, 0) == 0) known[layer.outputs.at(0)] = std::move(constant);
        }
        if (layer.kind != "Split") continue;
        const auto source = known.find(layer.inputs.at(0));
        if (source == known.end()) continue;
        const Constant constant = source->second;
        for (const std::string &blob : layer.outputs) known[blob] = constant;
    }
    return known;
}

}  // namespace ifrnet
