#include <cpu.h>
#include <gpu.h>

#include <cstdio>

#include "engine.h"
#include "error.h"

namespace ifrnet {

#define IFRNET_TEXT(x) #x
#define IFRNET_QUOTED(x) IFRNET_TEXT(x)

const char *const VERSION = IFRNET_QUOTED(IFRNET_VERSION);
const char *const NCNN_VERSION = NCNN_VERSION_STRING;

namespace {

#if NCNN_VULKAN
constexpr int SOFTWARE = 3; // ncnn::GpuInfo::type() of a driver that runs on the CPU

void add_gpus(std::vector<Device> &found) {
    const int count = ncnn::get_gpu_count();
    for (int i = 0; i < count; i++) {
        const ncnn::GpuInfo &info = ncnn::get_gpu_info(i);
        char driver[32];
        std::snprintf(driver, sizeof driver, "%#x", info.driver_version());
        found.push_back({"vulkan:" + std::to_string(i), info.device_name(), driver, "", info.type() == SOFTWARE});
    }
    if (count <= 0)
        found.push_back({"vulkan:0", "", "", "no Vulkan device: install a driver (Debian: mesa-vulkan-drivers)", false});
}
#else
void add_gpus(std::vector<Device> &found) {
    found.push_back({"vulkan:0", "", "", "this libifrnet was built without Vulkan: build it with IFRNET_VULKAN=ON", false});
}
#endif

}  // namespace

std::vector<Device> devices() {
    std::vector<Device> found = {{"cpu", std::string("ncnn ") + NCNN_VERSION, "", "", false}};
    add_gpus(found);
    return found;
}

Device find_device(const std::string &name) {
    if (name == "cpu")
        return {"cpu", "", "", "", false}; // without starting the driver of a GPU
    std::string known;
    for (const Device &device : devices()) {
        if (device.name == name && device.reason.empty())
            return device;
        if (device.name == name)
            fail(IFRNET_BACKEND, "cannot use %s: %s", name.c_str(), device.reason.c_str());
        known += (known.empty() ? "" : ", ") + device.name;
    }
    fail(IFRNET_BACKEND, "no device '%s' here; there are %s", one_line(name, 40).c_str(), known.c_str());
}

}  // namespace ifrnet
