// Image files: what stb_image reads, and PNG.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace program {

struct Picture {
    int width = 0, height = 0;
    std::vector<uint8_t> rgb; // (height, width, 3)
    bool transparent = false; // the file may have transparent parts, which are left out here
};

// PNG, JPEG or BMP of 8 bits, upright.
// Throws Stop: missing, damaged, larger than 2^26 pixels, 16 bits.
Picture read_picture(const std::string &path);

// As PNG under a temporary name, which is then renamed: the file is there whole or not at all. Throws Stop.
void write_png(const Picture &picture, const std::string &path);

bool exists(const std::string &path);

}  // namespace program
