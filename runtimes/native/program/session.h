// An open artifact for a command, and what the library says as what ends the program.
#pragma once
#include <string>

#include "arguments.h"
#include "ifrnet.h"

namespace program {

// Throws Stop with the library's sentence unless the status is IFRNET_OK.
void must(ifrnet_status status);

// One line on standard error; none for "".
void warn(const std::string &message);

// Whether to prove, allow or refuse what was never proved here, by --prove and --unproven. Throws Stop for both.
ifrnet_unproven unproven(const Arguments &arguments);

extern const Option DEVICE, THREADS, PROVE, UNPROVEN; // which most commands take

class Session {
public:
    // Takes --device and --threads where the command has them. Throws Stop.
    Session(const std::string &folder, const Arguments &arguments, ifrnet_unproven unproven);
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    ifrnet_runtime *runtime() const { return runtime_; }
    const ifrnet_info &info() const { return info_; }

private:
    ifrnet_runtime *runtime_ = nullptr;
    ifrnet_info info_ = {};
};

// A packed RGB image of the caller's memory.
ifrnet_image rgb(void *pixels, int width, int height);

// "1280x720"
std::string size_text(int width, int height);

}  // namespace program
