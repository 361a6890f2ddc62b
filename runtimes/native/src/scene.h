// The moving scene of the proof, rendered with whole numbers; see docs/proof.md.
#pragma once
#include <cstdint>
#include <vector>

#include "artifact.h"
#include "json.h"

namespace ifrnet {

struct Wave {
    uint32_t x, y, phase;
    int32_t weights[3];
};

struct Placement {
    int32_t shift_x, shift_y, disc_x, disc_y, bar;
};

struct Scene {
    Size size;
    std::vector<Wave> waves;
    Placement frames[2];
    int32_t radius, half_width;
};

// Throws std::invalid_argument: it is no scene, or its numbers leave their ranges (those of runtimes/scene.py).
Scene read_scene(const Json &data);

// (height, width, 3) RGB.
Bytes render(const Scene &scene, const Placement &place);

}  // namespace ifrnet
