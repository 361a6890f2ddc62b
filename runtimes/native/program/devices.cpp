// ifrnet devices: where an artifact can run here.
#include <cstdio>
#include <vector>

#include "commands.h"
#include "ifrnet.h"
#include "session.h"
#include "stop.h"

namespace program {

namespace {

int run(const Arguments &) {
    size_t count = 0;
    must(ifrnet_devices(nullptr, &count));
    std::vector<ifrnet_device> devices(count ? count : 1);
    for (ifrnet_device &device : devices) device.size = sizeof device;
    const size_t room = count = devices.size();
    must(ifrnet_devices(devices.data(), &count));
    devices.resize(count < room ? count : room);
    for (const ifrnet_device &device : devices) {
        std::printf("%s: %s%s%s%s%s%s\n", device.name, device.description, device.driver[0] ? ", driver " : "",
                    device.driver, device.software ? ", software: right and slow" : "",
                    device.reason[0] ? "; cannot be used: " : "", device.reason);
    }
    return FINE;
}

}  // namespace

const Command DEVICES = {"devices", "list the devices here, and why one cannot be used", {}, {}, nullptr, run};

}  // namespace program
