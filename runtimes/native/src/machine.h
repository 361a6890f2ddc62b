// What a verdict depends on besides the artifact: processor, instruction sets, device, driver, versions.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "json.h"

namespace ifrnet {

// Field for field what runtimes.machine.Machine holds for backend "native", so that either side's records count for both.
struct Machine {
    std::string processor;
    std::vector<std::string> instruction_sets; // the architecture first, then those of runtimes/environment.py, from /proc/cpuinfo
    std::string device, driver;                // of a GPU; "" for the CPU
    std::map<std::string, std::string> versions; // {"ifrnet": "0.1.0", "ncnn": "1.0.20261020"}

    // The CPU of this machine; device and driver are the caller's to fill in.
    static Machine here();

    // Throws std::invalid_argument.
    static Machine parse(const Json &data);
    Json to_json() const;

    // Why what was proved on `other` is not proved here, on a device of a kind ("native/cpu", "native/vulkan"); "" when it is. The words
    // are those of runtimes.machine.Machine.difference.
    std::string difference(const Machine &other, const std::string &kind) const;

    bool operator==(const Machine &other) const;
};

}  // namespace ifrnet
