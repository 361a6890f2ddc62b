// Images of apps to tensors and back: layouts, strides, YUV matrices, ranges and chroma positions.
#pragma once
#include "artifact.h"
#include "ifrnet.h"

namespace ifrnet {

// Holds an image against the frames' size and its own memory. Throws Error (IFRNET_FRAME, or IFRNET_ARGUMENT for a null
// pointer): another size, an unknown layout, matrix, range or chroma position, |stride| below a row, planes that leave
// their stated memory. `what` names the image: "img0", "outputs[1]".
void check_image(const ifrnet_image &image, Size frames, const char *what);

// Whether the memory of two checked images overlaps.
bool overlap(const ifrnet_image &a, const ifrnet_image &b);

// A checked image -> planes of float32 RGB in [0, 1], each `plane_stride` values after the one before, rows without
// gaps. At most `threads` threads work on it.
void read_image(const ifrnet_image &image, float *planes, size_t plane_stride, int threads);

// The reverse; values are clamped and rounded half to even.
void write_image(const float *planes, size_t plane_stride, const ifrnet_image &image, int threads);

}  // namespace ifrnet
