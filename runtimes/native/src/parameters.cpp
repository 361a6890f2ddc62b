// Which layers this library runs, and which parameters each may have.
#include <algorithm>
#include <stdexcept>

#include "error.h"
#include "shapes.h"

namespace ifrnet {

namespace {

constexpr int LIST = -23300; // the key of a list is this minus its number
constexpr int FEATURES = 31; // of every layer: what it must not use
constexpr size_t MANY = 1000;

struct Rule {
    const char *kind;
    size_t least_inputs, most_inputs, least_outputs, most_outputs;
    std::vector<int> wholes, decimals, lists, texts; // keys
};

// Those of cmake/ncnn.cmake that a .param may hold (Crop and Padding where the frame is no multiple of 32), and the
// warp with a flow in pixels. Parameters that ncnn has and no exporter of ours writes are not here: shapes.cpp would
// not know what they do.
const Rule RULES[] = {
    {"BinaryOp", 1, 2, 1, 1, {0, 1}, {2}, {}, {}},
    {"Clip", 1, 1, 1, 1, {}, {0, 1}, {}, {}},
    {"Concat", 1, MANY, 1, 1, {0}, {}, {}, {}},
    {"Convolution", 1, 1, 1, 1, {0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 16}, {18}, {10}, {}},
    {"Crop", 1, 1, 1, 1, {}, {}, {9, 10, 11}, {}},
    {"Deconvolution", 1, 1, 1, 1, {0, 1, 2, 3, 4, 5, 6, 9, 11, 12, 13, 14, 15, 16, 18, 19}, {}, {10}, {}},
    {"Eltwise", 2, MANY, 1, 1, {0}, {}, {1}, {}},
    {"GridSample", 2, 2, 1, 1, {0, 1, 2, 3}, {}, {}, {}},
    {"IfrnetWarp", 2, 2, 1, 1, {}, {}, {}, {}},
    {"Input", 0, 0, 1, 1, {0, 1, 2}, {}, {}, {}},
    {"Interp", 1, 1, 1, 1, {0, 3, 4, 6}, {1, 2}, {}, {}},
    {"MemoryData", 0, 0, 1, 1, {0, 1, 2, 21}, {}, {}, {}},
    {"PReLU", 1, 1, 1, 1, {0}, {}, {}, {}},
    {"Padding", 1, 1, 1, 1, {0, 1, 2, 3, 4, 6}, {5}, {}, {}},
    {"PixelShuffle", 1, 1, 1, 1, {0, 1}, {}, {}, {}},
    {"Pooling", 1, 1, 1, 1, {0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15}, {}, {}, {}},
    {"Power", 1, 1, 1, 1, {}, {0, 1, 2}, {}, {}},
    {"Reshape", 1, 1, 1, 1, {0, 1, 2, 12, 13}, {}, {}, {6}},
    {"Sigmoid", 1, 1, 1, 1, {}, {}, {}, {}},
    {"Slice", 1, 1, 1, MANY, {1}, {}, {0}, {}},
    {"Split", 1, 1, 1, MANY, {}, {}, {}, {}},
    {"Tile", 1, 1, 1, 1, {0, 1}, {}, {2}, {}},
};

bool has(const std::vector<int> &keys, int key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); }

bool is_whole(const std::string &text) { return text.find_first_not_of("-0123456789") == std::string::npos; }

// ncnn takes a number with a point for a missing one where it expects a whole one, and the bits of one for the other in
// lists.
bool allowed(const Rule &rule, int key, const std::string &value) {
    if (key == FEATURES) return is_whole(value);
    if (key <= LIST) return has(rule.lists, LIST - key);
    if (value[0] == '"') return has(rule.texts, key);
    return has(rule.decimals, key) || (has(rule.wholes, key) && is_whole(value));
}

}  // namespace

void check_parameters(const Layer &layer) {
    const std::string who = "layer " + one_line(layer.name, 40);
    const Rule *rule =
        std::find_if(std::begin(RULES), std::end(RULES), [&](const Rule &r) { return layer.kind == r.kind; });
    if (rule == std::end(RULES))
        throw std::invalid_argument(who + " is of kind " + one_line(layer.kind, 40) +
                                    ", which this library does not run");
    if (layer.inputs.size() < rule->least_inputs || layer.inputs.size() > rule->most_inputs ||
        layer.outputs.size() < rule->least_outputs || layer.outputs.size() > rule->most_outputs)
        throw std::invalid_argument(who + " (" + rule->kind + ") has " + std::to_string(layer.inputs.size()) +
                                    " inputs and " + std::to_string(layer.outputs.size()) + " outputs");
    for (const auto &item : layer.numbers)
        if (!allowed(*rule, item.first, item.second))
            throw std::invalid_argument(who + " (" + rule->kind + ") has the parameter " + std::to_string(item.first) +
                                        "=" + one_line(item.second, 20) + ", which this library does not know");
}

}  // namespace ifrnet
