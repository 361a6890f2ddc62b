#include "rewrite.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include "constants.h"
#include "island.h"

namespace ifrnet {
namespace {

constexpr int ADD = 0, MULTIPLY = 2; // of a BinaryOp
constexpr double ROUNDING = 2e-6;    // of float32 numbers from -1 to 1 and of their sums

using Constants = std::map<std::string, Constant>;
using Producers = std::map<std::string, const Layer *>;

Producers producers(const std::vector<Layer> &layers) {
    Producers result;
    for (const Layer &layer : layers)
        for (const std::string &blob : layer.outputs) result[blob] = &layer;
    return result;
}

[[noreturn]] void refuse(const Layer &warp, const char *what) {
    throw std::invalid_argument("layer " + warp.name + " " + what + ": export the network again with this version");
}

// flow * scale + first + second, as the exporter lays it out.
struct Grid {
    std::string flow; // blob: (2, h, w), in pixels
    Constant scale, first, second;

    double position(int channel, int y, int x) const {
        return double(first.at(channel, y, x)) + double(second.at(channel, y, x));
    }
};

// The layer that gives `blob`, where it is a BinaryOp of this kind with a constant at the right; adds that constant.
const Layer &operation(const Layer &warp, const Producers &makers, const Constants &constants, const std::string &blob,
                       int kind, Constant &constant) {
    const auto maker = makers.find(blob);
    if (maker == makers.end() || maker->second->kind != "BinaryOp" || maker->second->inputs.size() != 2 ||
        maker->second->number(0, 0) != kind)
        refuse(warp, "has a grid that is no flow * scale + position");
    const auto found = constants.find(maker->second->inputs[1]);
    if (found == constants.end() || found->second.c != 2) refuse(warp, "has a grid of parts that are not constant");
    constant = found->second;
    return *maker->second;
}

Grid find_grid(const Layer &warp, const Producers &makers, const Constants &constants) {
    Grid grid;
    const Layer &second = operation(warp, makers, constants, warp.inputs.at(1), ADD, grid.second);
    const Layer &first = operation(warp, makers, constants, second.inputs[0], ADD, grid.first);
    const Layer &scale = operation(warp, makers, constants, first.inputs[0], MULTIPLY, grid.scale);
    grid.flow = scale.inputs[0];
    return grid;
}

bool near(double a, double b) { return std::fabs(a - b) <= ROUNDING; }

// Whether the positions run from -1 to 1 over a frame of w x h, and a flow of one pixel is a step of that. They are the sum
// of something for each column and something for each row, so one row and one column stand for all.
bool is_of_pixels(const Grid &grid, int w, int h) {
    const int sizes[2] = {w, h};
    for (int channel = 0; channel < 2; channel++) {
        const double step = 2.0 / (sizes[channel] - 1);
        const auto right = [&](int y, int x) {
            const int along = channel == 0 ? x : y;
            return std::fabs(grid.scale.at(channel, y, x) / step - 1) <= ROUNDING &&
                   near(grid.position(channel, y, x), along * step - 1);
        };
        for (int x = 0; x < w; x++)
            if (!right(0, x)) return false;
        for (int y = 0; y < h; y++)
            if (!right(y, 0)) return false;
    }
    return true;
}

// Each constant is one row or one column, so that the sizes of the frame are the larger ones, and `at` stays inside.
void check_grid(const Layer &warp, const Grid &grid) {
    const int w = std::max(grid.first.w, grid.second.w), h = std::max(grid.first.h, grid.second.h);
    for (const Constant *part : {&grid.scale, &grid.first, &grid.second}) {
        const bool lies = (part->w == 1 || part->w == w) && (part->h == 1 || part->h == h);
        if (!lies || (part->w > 1 && part->h > 1)) refuse(warp, "has a grid of parts that do not fit together");
    }
    if (w < 2 || h < 2 || !is_of_pixels(grid, w, h)) refuse(warp, "has a grid that is not from -1 to 1");
}

Layer by_pixels(const Layer &warp, const Producers &makers, const Constants &constants) {
    const bool known = warp.inputs.size() == 2 && warp.number(0, 1) == 1 && warp.number(1, 1) == 2 &&
                       warp.number(2, 0) == 1 && warp.number(3, 0) == 1;
    if (!known) refuse(warp, "does not sample as grid_sample does (bilinear, border, align_corners)");
    const Grid grid = find_grid(warp, makers, constants);
    check_grid(warp, grid);
    Layer result;
    result.kind = "IfrnetWarp";
    result.name = warp.name;
    result.inputs = {warp.inputs[0], grid.flow};
    result.outputs = warp.outputs;
    return result;
}

// Without layers that nothing needs. From the end to the beginning: a layer comes after those that it reads.
std::vector<Layer> needed(const std::vector<Layer> &layers, const std::set<std::string> &ends) {
    std::set<std::string> read = ends;
    std::vector<Layer> result;
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
        Layer kept = *layer;
        const auto unread = [&](const std::string &blob) { return read.count(blob) == 0; };
        if (kept.kind == "Split")
            kept.outputs.erase(std::remove_if(kept.outputs.begin(), kept.outputs.end(), unread), kept.outputs.end());
        const bool has_weights = kept.kind == "MemoryData" || kept.kind == "Input";
        if (!has_weights && std::all_of(kept.outputs.begin(), kept.outputs.end(), unread)) continue;
        read.insert(kept.inputs.begin(), kept.inputs.end());
        result.push_back(std::move(kept));
    }
    std::reverse(result.begin(), result.end());
    return result;
}

// Blobs that no layer reads: what the network gives.
std::set<std::string> ends(const std::vector<Layer> &layers) {
    std::set<std::string> result;
    for (const Layer &layer : layers) result.insert(layer.outputs.begin(), layer.outputs.end());
    for (const Layer &layer : layers)
        for (const std::string &blob : layer.inputs) result.erase(blob);
    return result;
}

}  // namespace

std::vector<Layer> for_target(const std::vector<Layer> &layers, const Bytes &weights, const Target &target) {
    const Producers makers = producers(layers);
    const Constants constants = read_constants(layers, weights);
    std::vector<Layer> result = layers;
    for (Layer &layer : result)
        if (layer.kind == "GridSample") layer = by_pixels(layer, makers, constants);
    if (target.vulkan && target.storage == Storage::Float32) result = without_island(result);
    if (target.vulkan && target.storage == Storage::Float16) result = island_on_gpu(result);
    return needed(result, ends(layers));
}

std::string write_param(const std::vector<Layer> &layers) {
    size_t blobs = 0;
    std::string lines;
    for (const Layer &layer : layers) {
        blobs += layer.outputs.size();
        lines += layer.kind + " " + layer.name + " " + std::to_string(layer.inputs.size()) + " " +
                 std::to_string(layer.outputs.size());
        for (const std::string &blob : layer.inputs) lines += " " + blob;
        for (const std::string &blob : layer.outputs) lines += " " + blob;
        for (const auto &[key, value] : layer.numbers) lines += " " + std::to_string(key) + "=" + value;
        lines += "\n";
    }
    return "7767517\n" + std::to_string(layers.size()) + " " + std::to_string(blobs) + "\n" + lines;
}

}  // namespace ifrnet
