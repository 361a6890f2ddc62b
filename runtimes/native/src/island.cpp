#include "island.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

namespace ifrnet {
namespace {

constexpr int MASK = 31, FLOAT32_ON_CPU = 23; // as export/ncnn_layers.py marks layers
constexpr int FLOAT32 = 7;                    // the same, but for the processor
constexpr int FLOAT = 1, HALF = 2;            // of a Cast

bool is_marked(const Layer &layer) { return layer.number(MASK, 0) == FLOAT32_ON_CPU; }

// A Power that leaves numbers as they are.
bool is_bridge(const Layer &layer) {
    return layer.kind == "Power" && layer.numbers.empty() && layer.inputs.size() == 1 && layer.outputs.size() == 1;
}

void remove_mark(Layer &layer) {
    const auto is_mark = [](const auto &item) { return item.first == MASK; };
    layer.numbers.erase(std::remove_if(layer.numbers.begin(), layer.numbers.end(), is_mark), layer.numbers.end());
}

Layer cast(const std::string &blob, const std::string &to, int from_type, int to_type) {
    Layer layer;
    layer.kind = "Cast";
    layer.name = "cast_" + to;
    layer.inputs = {blob};
    layer.outputs = {to};
    layer.numbers = {{0, std::to_string(from_type)}, {1, std::to_string(to_type)}};
    return layer;
}

// Keeps the marked layers in float32 on the GPU: each value that crosses their border goes through a Cast.
class Island {
public:
    std::vector<Layer> moved(const std::vector<Layer> &layers) {
        for (const Layer &layer : layers) names_.insert(layer.outputs.begin(), layer.outputs.end());
        for (Layer layer : layers) {
            if (is_bridge(layer)) {
                layer = cast(layer.inputs[0], layer.outputs[0], HALF, FLOAT);
                note(layer);
            } else {
                fit(layer, layer.kind == "IfrnetWarp" ? is_float(layer.inputs.at(0)) : is_marked(layer));
            }
            result_.push_back(std::move(layer));
        }
        return std::move(result_);
    }

private:
    bool is_float(const std::string &blob) const { return float_.count(blob) != 0; }

    void note(const Layer &layer) { float_.insert(layer.outputs.begin(), layer.outputs.end()); }

    // What a layer reads is made what it computes in; the flow of a warp may be float32 in any case.
    void fit(Layer &layer, bool in_float) {
        for (size_t i = 0; i < layer.inputs.size(); i++) {
            const bool free = layer.kind == "IfrnetWarp" && i == 1;
            if (!free && is_float(layer.inputs[i]) != in_float) convert(layer.inputs[i], in_float);
        }
        if (!in_float) return;
        remove_mark(layer);
        layer.numbers.emplace_back(MASK, std::to_string(FLOAT32));
        note(layer);
    }

    void convert(std::string &blob, bool to_float) {
        const std::string other = blob + (to_float ? "_float32" : "_float16");
        if (!names_.insert(other).second) throw std::invalid_argument("two blobs are called " + other);
        result_.push_back(to_float ? cast(blob, other, HALF, FLOAT) : cast(blob, other, FLOAT, HALF));
        blob = other;
        if (to_float) float_.insert(other);
    }

    std::vector<Layer> result_;
    std::set<std::string> float_; // blobs in float32
    std::set<std::string> names_; // of all blobs
};

}  // namespace

std::vector<Layer> without_island(const std::vector<Layer> &layers) {
    std::map<std::string, std::string> same; // output of a bridge -> its input
    std::vector<Layer> result;
    for (Layer layer : layers) {
        for (std::string &blob : layer.inputs)
            if (const auto found = same.find(blob); found != same.end()) blob = found->second;
        if (is_bridge(layer)) {
            same[layer.outputs[0]] = layer.inputs[0];
            continue;
        }
        if (is_marked(layer)) remove_mark(layer);
        result.push_back(std::move(layer));
    }
    return result;
}

std::vector<Layer> island_on_gpu(const std::vector<Layer> &layers) { return Island().moved(layers); }

}  // namespace ifrnet
