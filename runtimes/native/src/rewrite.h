// The network as this library runs it: an exact rewrite of the layers of a .param, made while it is opened.
//
// A .param is written for every host of ncnn, and those have neither a warp by flow in pixels nor any warp on Vulkan. So it
// builds a grid from -1 to 1 out of the flow for GridSample, which half precision cannot hold (half a pixel off at 1920),
// and marks all that touches the flow to be computed in float32 on the CPU. With IfrnetWarp neither is needed.
#pragma once
#include <string>
#include <vector>

#include "network.h"

namespace ifrnet {

// What values between layers are stored in.
enum class Storage { Float32, Float16, BFloat16 };

struct Target {
    bool vulkan = false;
    Storage storage = Storage::Float32; // as the options of the net say, once ncnn has held them against the GPU
};

// The same network with
// - IfrnetWarp on the flow in pixels in place of GridSample and of what made its grid, flow * 2 / (size - 1) + position,
//   once the constants of it are found to be just that;
// - on a GPU in float32 or float16, nothing left on the CPU; see island.h. In bfloat16 the island stays there: ncnn has no
//   Cast to it.
// Constants that nobody reads any more stay, for ncnn reads weights in the order of the layers.
//
// `layers` and `weights` as check_network took them. Throws std::invalid_argument: a GridSample whose grid is not made so.
std::vector<Layer> for_target(const std::vector<Layer> &layers, const Bytes &weights, const Target &target);

// A .param text.
std::string write_param(const std::vector<Layer> &layers);

}  // namespace ifrnet
