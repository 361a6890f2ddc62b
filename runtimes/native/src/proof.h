// The proof in an artifact: which frames, which time steps, and what PyTorch answered; see docs/proof.md.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "artifact.h"
#include "scene.h"

namespace ifrnet {

struct Limits {
    double max_error, psnr, block_error;
};

struct Answer {
    double t; // as the proof states it; the network gets it as a float
    Limits limits;
    std::vector<uint16_t> corners; // x and y of each patch
    std::vector<float> weights;    // of each patch
    std::vector<float> patches;    // (patches, 4, 4, 3)
    std::vector<float> blocks;     // (rows, columns, 3)
};

struct Case {
    Scene scene;
    int block; // side in pixels
    std::string frames_sha256[2];
    std::vector<Answer> answers;
};

struct Comparison {
    Size size;
    double t; // as the proof states it
    bool together;
    double max_error, psnr, block_error;
    std::string trouble; // in the words of runtimes/proof.py
};

// Throws Error (IFRNET_ARTIFACT): damaged, or of frames that the artifact does not take.
std::vector<Case> read_proof(const Bytes &data, Size frames);

// (3, height, width) twice and time steps -> (steps, 3, height, width), one value in [0, 1] after the other.
using Infer = std::function<std::vector<float>(const float *img0, const float *img1, const std::vector<float> &t)>;

// Every time step alone, then all of a pair at once. Throws Error: this machine renders other frames than the proof states.
std::vector<Comparison> run_proof(const Infer &infer, const std::vector<Case> &cases);

}  // namespace ifrnet
