// ifrnet verify: the artifact's own proof, on this machine. The words are those of python -m runtimes verify.
#include <cstdio>
#include <string>
#include <vector>

#include "commands.h"
#include "ifrnet.h"
#include "session.h"
#include "stop.h"

namespace program {

namespace {

constexpr size_t MOST = 1024; // comparisons that are shown; a proof has some ten

// The text of a field of the machine's JSON, which the library itself wrote; "" where it is not.
std::string field(const std::string &json, const std::string &name) {
    const std::string key = "\"" + name + "\": \"";
    const size_t begin = json.find(key);
    if (begin == std::string::npos) return "";
    const size_t first = begin + key.size(), end = json.find('"', first);
    return end == std::string::npos ? "" : json.substr(first, end - first);
}

void print_conditions(const ifrnet_info &info) {
    const std::string machine = info.machine, device = field(machine, "device"), driver = field(machine, "driver");
    const std::string where = device.empty() ? field(machine, "processor") : device;
    std::printf("%s: %s%s%s, ifrnet %s, %s\n", info.device, where.c_str(), driver.empty() ? "" : ", driver ",
                driver.c_str(), ifrnet_version(), info.arithmetic);
}

void print_table(const std::vector<ifrnet_comparison> &rows) {
    std::printf("%-11s %6s  %-11s %8s %11s %12s  verdict\n", "size", "t", "asked for", "PSNR dB", "max error",
                "block error");
    for (const ifrnet_comparison &row : rows) {
        std::printf("%-11s %6g  %-11s %8.1f %11.1e %12.1e  %s%s\n", size_text(row.width, row.height).c_str(),
                    static_cast<double>(row.t), row.together ? "with others" : "alone", row.psnr, row.max_error,
                    row.block_error, row.trouble[0] ? "failed: " : "passed", row.trouble);
    }
}

int run(const Arguments &arguments) {
    const Session session(arguments.file(0), arguments, IFRNET_INSPECT);
    ifrnet_info info = session.info();
    print_conditions(info);
    std::fflush(stdout); // the proof takes a while
    std::vector<ifrnet_comparison> rows(MOST);
    for (ifrnet_comparison &row : rows) row.size = sizeof row;
    size_t count = rows.size();
    const ifrnet_status status = ifrnet_verify(session.runtime(), rows.data(), &count);
    const std::string reason = status == IFRNET_OK ? "" : ifrnet_error();
    if (status != IFRNET_OK && status != IFRNET_PARITY) must(status);
    if (count > MOST) std::printf("the first %zu of %zu comparisons:\n", MOST, count);
    if (count < rows.size()) rows.resize(count);
    if (!rows.empty()) print_table(rows);
    const bool passed = status == IFRNET_OK;
    std::printf("%s (%s): %s%s\n", info.device, info.arithmetic, passed ? "passed" : "failed: ", reason.c_str());
    if (!passed) return PARITY_FAILED;
    must(ifrnet_describe(session.runtime(), &info));
    warn(info.reason); // the verdict could not be kept
    return FINE;
}

}  // namespace

const Command VERIFY = {
    "verify",
    "prove an artifact on this machine",
    {{"DIR", nullptr, nullptr, "artifact folder, made by python -m export --target ncnn"}},
    {DEVICE, THREADS},
    "The outcome is kept beside the artifact, or in the cache, and believed from then on, by Python too.\n"
    "exit codes: 0 proved, 1 it cannot be tried here, 2 it differs from PyTorch here, and is refused from now on.",
    run,
};

}  // namespace program
