#include "session.h"

#include <cstdio>

#include "stop.h"

namespace program {

const Option DEVICE = {"--device", nullptr, "D", "for example cpu, vulkan:0 (default: cpu; see ifrnet devices)"};
const Option THREADS = {"--threads", nullptr, "N", "CPU threads (default: one for each fast core)"};
const Option PROVE = {"--prove", nullptr, nullptr, "prove an artifact that was never proved here first"};
const Option UNPROVEN = {"--unproven", nullptr, nullptr, "run it though it was never proved here"};

void must(ifrnet_status status) {
    if (status == IFRNET_OK) return;
    const Exit code = status == IFRNET_PARITY ? PARITY_FAILED : status == IFRNET_INTERNAL ? BUG : USER_ERROR;
    throw Stop(code, ifrnet_error());
}

ifrnet_unproven unproven(const Arguments &arguments) {
    const bool prove = arguments.has("--prove"), allow = arguments.has("--unproven");
    if (prove && allow) throw usage("--prove and --unproven contradict each other; expected one of them");
    return prove ? IFRNET_PROVE : allow ? IFRNET_ALLOW : IFRNET_REFUSE;
}

void warn(const std::string &message) {
    if (!message.empty()) std::fprintf(stderr, "ifrnet: warning: %s\n", message.c_str());
}

Session::Session(const std::string &folder, const Arguments &arguments, ifrnet_unproven unproven) {
    const std::string device = arguments.text("--device", "cpu");
    ifrnet_options options = {};
    options.size = sizeof options;
    options.threads = arguments.whole("--threads", 0, 1, 1024);
    options.device = device.c_str();
    options.unproven = unproven;
    must(ifrnet_open(folder.c_str(), &options, &runtime_));
    info_.size = sizeof info_;
    const ifrnet_status status = ifrnet_describe(runtime_, &info_);
    if (status != IFRNET_OK) {
        const Stop stop(BUG, ifrnet_error()); // before another call replaces the sentence
        ifrnet_close(runtime_);
        throw stop;
    }
    if (info_.proven > 0) warn(info_.reason);
}

Session::~Session() { ifrnet_close(runtime_); }

ifrnet_image rgb(void *pixels, int width, int height) {
    ifrnet_image image = {};
    image.size = sizeof image;
    image.layout = IFRNET_RGB;
    image.width = width;
    image.height = height;
    image.plane[0] = pixels;
    image.stride[0] = static_cast<ptrdiff_t>(3) * width;
    image.bytes[0] = static_cast<size_t>(3) * static_cast<size_t>(width) * static_cast<size_t>(height);
    return image;
}

std::string size_text(int width, int height) { return std::to_string(width) + "x" + std::to_string(height); }

}  // namespace program
