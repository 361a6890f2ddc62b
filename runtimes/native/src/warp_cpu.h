// The warp by flow in pixels on the CPU.
#pragma once

namespace ncnn {
class Mat;
class Option;
}

namespace ifrnet {

// Bilinear samples of `feature` (float32, c channels of h x w, packed by any of 1, 4, 8, 16) at (x + flow[0], y + flow[1]),
// with positions outside taken to the border, as grid_sample with align_corners and padding "border". `flow`: float32,
// 2 channels of h x w, not packed. Returns 0; -1 where the two do not fit together, -100 without memory.
int warp_by_pixels(const ncnn::Mat &feature, const ncnn::Mat &flow, ncnn::Mat &top, const ncnn::Option &opt);

}  // namespace ifrnet
