// ifrnet describe: what an artifact is, and whether it is proved here.
#include <cstdio>

#include "commands.h"
#include "ifrnet.h"
#include "session.h"
#include "stop.h"

namespace program {

namespace {

int run(const Arguments &arguments) {
    const Session session(arguments.file(0), arguments, IFRNET_INSPECT);
    const ifrnet_info &info = session.info();
    std::printf("name:      %s\n", info.name);
    std::printf("frames:    %s\n", size_text(info.width, info.height).c_str());
    std::printf("t:         %s\n", info.any_timestep ? "any between 0 and 1" : "0.5 only");
    std::printf("precision: %s, computed in %s on %s with %d thread%s\n", info.precision, info.arithmetic, info.device,
                static_cast<int>(info.threads), info.threads == 1 ? "" : "s");
    const char *verdict = info.proven > 0 ? "passed" : info.proven < 0 ? "failed: " : "not run: ";
    std::printf("verdict:   %s%s\n", verdict, info.reason);
    std::printf("identity:  %s\n", info.identity);
    std::printf("machine:   %s\n", info.machine);
    return FINE;
}

}  // namespace

const Command DESCRIBE = {
    "describe",
    "show what an artifact is, and whether it is proved here",
    {{"DIR", nullptr, nullptr, "artifact folder, made by python -m export --target ncnn"}},
    {DEVICE, THREADS},
    nullptr,
    run,
};

}  // namespace program
