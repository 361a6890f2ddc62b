// The warp as a layer of ours, on the CPU and on Vulkan; ncnn has GridSample on the CPU only.
#pragma once
#include <atomic>

namespace ncnn {
class Net;
}

namespace ifrnet {

// Registers the warp with a net under ncnn's own name "GridSample", which it replaces there, so that an unchanged .param
// works, and under "IfrnetWarp" (flow in pixels instead of a normalised grid). Call before load_param.
//
// `cancelled` must outlive the net: where it is set, a warp fails with CANCELLED, and with it the extraction.
void register_warp(ncnn::Net &net, const std::atomic<bool> &cancelled);

inline constexpr int CANCELLED = -1001; // what ncnn's extract returns then

}  // namespace ifrnet
