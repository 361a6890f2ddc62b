// The float32 island of a network on a GPU; see export/ncnn_layers.py, which marks it for the CPU.
#pragma once
#include <vector>

#include "network.h"

namespace ifrnet {

// For a GPU that computes all in float32: no marks (31=23), and no Power layers, which convert at the island's border.
std::vector<Layer> without_island(const std::vector<Layer> &layers);

// For a GPU that stores float16: the marked layers stay in float32 there (31=7), with a Cast wherever a value crosses their
// border, for ncnn converts nothing between layers on a GPU. Inputs arrive in float16. An IfrnetWarp computes in what its
// features are stored in, and takes its flow as it is.
std::vector<Layer> island_on_gpu(const std::vector<Layer> &layers);

}  // namespace ifrnet
