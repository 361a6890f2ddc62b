// The constants of a network: what its MemoryData layers read from the .bin.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "network.h"

namespace ifrnet {

struct Constant {
    int w = 1, h = 1, c = 1;
    std::vector<float> values; // (c, h, w)

    // As it is broadcast: the only column or row where there is one.
    float at(int channel, int y, int x) const;
};

// Name of the blob -> its constant, for blobs of MemoryData in float32 with one to three dimensions, and for those that a
// Split copies from them. Throws std::invalid_argument: the weights end too early, or are stored in a way that this library
// does not know.
std::map<std::string, Constant> read_constants(const std::vector<Layer> &layers, const Bytes &weights);

}  // namespace ifrnet
