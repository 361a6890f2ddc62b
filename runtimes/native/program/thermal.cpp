#include "thermal.h"

#include <cstdio>
#include <fstream>

namespace program {

namespace {

constexpr int MOST = 128; // zones; their numbers have gaps on some phones
constexpr double COLDEST = 1.0, WARMEST = 150.0; // what is switched off reports 0, or nonsense

}  // namespace

std::vector<Zone> thermal_zones() {
    std::vector<Zone> zones;
    for (int i = 0; i < MOST; i++) {
        const std::string folder = "/sys/class/thermal/thermal_zone" + std::to_string(i);
        std::ifstream value(folder + "/temp"), type(folder + "/type");
        double milli = 0.0;
        if (!(value >> milli)) continue;
        Zone zone{std::to_string(i), milli / 1000.0};
        std::string kind;
        if (type >> kind) zone.kind = kind;
        if (zone.celsius >= COLDEST && zone.celsius <= WARMEST) zones.push_back(zone);
    }
    return zones;
}

std::string warming(const std::vector<Zone> &before, const std::vector<Zone> &after) {
    const Zone *from = nullptr, *to = nullptr;
    for (size_t i = 0; i < before.size() && i < after.size(); i++) {
        if (before[i].kind != after[i].kind || (to && after[i].celsius <= to->celsius)) continue;
        from = &before[i];
        to = &after[i];
    }
    if (!to) return "";
    char text[160];
    std::snprintf(text, sizeof text, "thermal zone %.64s: %.1f C before, %.1f C after", to->kind.c_str(), from->celsius,
                  to->celsius);
    return text;
}

}  // namespace program
