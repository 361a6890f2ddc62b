// What ncnn trusts and this library does not: whether the layers of a .param fit together, and fit its weights.
#pragma once
#include <string>
#include <vector>

#include "artifact.h"

namespace ifrnet {

struct Layer {
    std::string kind, name;
    std::vector<std::string> inputs, outputs;         // blobs
    std::vector<std::pair<int, std::string>> numbers; // parameters, as text

    // One parameter as a whole number, or what ncnn takes when it is not given.
    int number(int key, int otherwise) const;
};

// Throws std::invalid_argument: what does not fit. As runtimes.backends.ncnn_layers.checked_layers, and besides it follows
// the shape of every blob through the network (kinds of cmake/ncnn.cmake only), so that no layer reads or writes beyond
// one, and counts the weights to the byte.
std::vector<Layer> check_network(const std::string &param, const Bytes &weights, Size frames);

// The blobs that everything after the encoder can be computed from, together with t; as
// runtimes.backends.ncnn.encoded_blobs. Empty where the network has no such halves.
std::vector<std::string> encoded_blobs(const std::vector<Layer> &layers);

}  // namespace ifrnet
