// A network on a device: ncnn loads it from memory, and computes one frame after the other.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "artifact.h"

namespace ifrnet {

struct Device {
    std::string name, description, driver, reason; // driver, description: of a GPU
    bool software = false;

    std::string kind() const { return name.substr(0, name.find(':')); }
};

// The CPU, then the GPUs; looking for them starts the Vulkan driver.
std::vector<Device> devices();

// Throws Error (IFRNET_BACKEND) where it is not there or cannot be used.
Device find_device(const std::string &name);

// Versions of this library and of ncnn.
extern const char *const VERSION;
extern const char *const NCNN_VERSION;

struct Settings {
    Device device;
    int threads = 0; // 0: one for each physical core, the fast ones of a phone
    bool float32 = false;
    std::string cache; // for compiled shaders; "" keeps none
};

class Engine {
public:
    // Throws Error (IFRNET_BACKEND): ncnn does not take the network.
    Engine(const Artifact &artifact, const Settings &settings);
    ~Engine();

    // What convolutions run in: fp32, bf16, int8, "fp16 storage" (sums in float32), ...
    const std::string &arithmetic() const;
    int threads() const;

    // Two planes-of-RGB tensors in memory of this engine, kept from call to call: (3, height, width), `plane_stride()` values
    // from plane to plane.
    float *input(int index);
    size_t plane_stride() const;

    // Takes what input(0) and input(1) hold; with `several` time steps to come the encoder's half is computed once.
    void begin(bool several);

    // The frame at t: (3, height, width) with plane_stride(); holds until the next call. Throws Error (IFRNET_BACKEND,
    // IFRNET_CANCELLED, IFRNET_MEMORY); values that are not finite are IFRNET_BACKEND.
    const float *frame(float t);

    void cancel();  // the next or the running frame(); from any thread
    void resume();  // forget a cancel() that came before a call

private:
    struct Net;
    std::unique_ptr<Net> net_;
};

}  // namespace ifrnet
