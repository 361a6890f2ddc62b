// How warm the machine is, where Linux or Android says it.
#pragma once
#include <string>
#include <vector>

namespace program {

struct Zone {
    std::string kind; // "cpu-thermal"
    double celsius;
};

// Those of /sys/class/thermal that can be read and are plausible; empty elsewhere.
std::vector<Zone> thermal_zones();

// "thermal zone cpu-thermal: 45.0 C before, 61.5 C after", of the one that is warmest now; "" where none is in both.
std::string warming(const std::vector<Zone> &before, const std::vector<Zone> &after);

}  // namespace program
