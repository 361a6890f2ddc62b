// Which way up a camera held a picture. stb_image does not read it; the Python runtime does, and so does this program.
#pragma once
#include <cstdint>
#include <vector>

namespace program {

// The Exif orientation of a JPEG or PNG file, 1 to 8; 1 (upright) where it states none, or is neither.
int orientation(const std::vector<uint8_t> &file);

// (height, width, 3) as it was stored -> upright; width and height are swapped from orientation 5 on.
std::vector<uint8_t> upright(const std::vector<uint8_t> &stored, int width, int height, int orientation);

}  // namespace program
