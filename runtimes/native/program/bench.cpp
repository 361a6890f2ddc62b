// ifrnet bench: how long one frame takes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

#include "commands.h"
#include "ifrnet.h"
#include "images.h"
#include "session.h"
#include "stop.h"
#include "thermal.h"

namespace program {

namespace {

constexpr int WARM_UP = 3; // the first calls allocate, and compile shaders
constexpr size_t LEAST_FOR_THIRDS = 6;
constexpr double WORTH_A_NOTE = 5.0; // percent

// A gradient with stripes that moves by `shift` pixels.
Picture moving(int width, int height, int shift) {
    Picture picture{width, height, {}};
    picture.rgb.reserve(size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height));
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const int at = x + shift;
            picture.rgb.push_back(static_cast<uint8_t>(at % 256));
            picture.rgb.push_back(static_cast<uint8_t>(y % 256));
            picture.rgb.push_back(static_cast<uint8_t>((at / 16 + y / 16) % 2 ? 200 : 60));
        }
    }
    return picture;
}

// As numpy.percentile: between the two neighbours.
double percentile(std::vector<double> values, double percent) {
    std::sort(values.begin(), values.end());
    const double at = percent / 100.0 * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(at);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - std::floor(at)) * (values[above] - values[below]);
}

// Of the last third against the first, in percent.
double slowdown(const std::vector<double> &times) {
    const auto third = static_cast<std::ptrdiff_t>(times.size() / 3);
    const double first = percentile({times.begin(), times.begin() + third}, 50.0);
    return 100.0 * (percentile({times.end() - third, times.end()}, 50.0) / first - 1.0);
}

double milliseconds(const Session &session, const ifrnet_image &img0, const ifrnet_image &img1,
                    const ifrnet_image &out) {
    const float half = 0.5f;
    const auto start = std::chrono::steady_clock::now();
    must(ifrnet_interpolate(session.runtime(), &img0, &img1, &half, 1, &out));
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void print_memory() {
#if defined(__unix__) || defined(__APPLE__)
    rusage used = {};
    if (getrusage(RUSAGE_SELF, &used) != 0) return;
#if defined(__APPLE__)
    const double unit = 1024.0 * 1024.0; // bytes there
#else
    const double unit = 1024.0;
#endif
    std::printf("peak memory of the process: %.0f MB\n", static_cast<double>(used.ru_maxrss) / unit);
#endif
}

int run(const Arguments &arguments) {
    const int rounds = arguments.whole("--rounds", 20, 1, 1000000);
    const Session session(arguments.file(0), arguments, unproven(arguments));
    const ifrnet_info &info = session.info();
    Picture first = moving(info.width, info.height, 0), second = moving(info.width, info.height, 9), between = first;
    const ifrnet_image img0 = rgb(first.rgb.data(), info.width, info.height);
    const ifrnet_image img1 = rgb(second.rgb.data(), info.width, info.height);
    const ifrnet_image out = rgb(between.rgb.data(), info.width, info.height);
    for (int i = 0; i < WARM_UP; i++) milliseconds(session, img0, img1, out);
    const std::vector<Zone> before = thermal_zones();
    std::vector<double> times;
    for (int i = 0; i < rounds; i++) times.push_back(milliseconds(session, img0, img1, out));
    const std::string size = size_text(info.width, info.height);
    std::printf("%s, %s on %s (%s), %d thread%s%s\n", info.name, size.c_str(), info.device, info.arithmetic,
                static_cast<int>(info.threads), info.threads == 1 ? "" : "s",
                info.proven > 0 ? "" : ", not proven here");
    std::printf("median %.1f ms, p90 %.1f ms, least %.1f ms; %d rounds after %d to warm up, 8-bit RGB in and out\n",
                percentile(times, 50.0), percentile(times, 90.0), percentile(times, 0.0), rounds, WARM_UP);
    if (times.size() >= LEAST_FOR_THIRDS && slowdown(times) >= WORTH_A_NOTE) {
        std::printf("thermal or load: slower by %.0f %% in the last third of the rounds than in the first\n",
                    slowdown(times));
    }
    const std::string warm = warming(before, thermal_zones());
    if (!warm.empty()) std::printf("%s\n", warm.c_str());
    print_memory();
    return FINE;
}

}  // namespace

const Command BENCH = {
    "bench",
    "measure how long one frame takes",
    {{"DIR", nullptr, nullptr, "artifact folder, made by python -m export --target ncnn"}},
    {{"--rounds", nullptr, "N", "frames to measure (default: 20)"}, PROVE, UNPROVEN, DEVICE, THREADS},
    nullptr,
    run,
};

}  // namespace program
