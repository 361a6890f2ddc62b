// ifrnet: proves, runs and measures an artifact without Python; an example of the C ABI, too.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "commands.h"
#include "ifrnet.h"
#include "stop.h"

namespace {

using namespace program;

const Command *const COMMANDS[] = {&VERIFY, &INTERPOLATE, &BENCH, &DEVICES, &DESCRIBE};

std::string help() {
    std::string text = "usage: ifrnet COMMAND ...\n\n"
                       "Run IFRNet artifacts of target ncnn, and prove them where they run.\n\n";
    for (const Command *command : COMMANDS) {
        text += std::string("  ") + command->name + std::string(14 - std::strlen(command->name), ' ');
        text += std::string(command->summary) + "\n";
    }
    return text + "\n  --version     versions of the library and of ncnn\n"
                  "\nifrnet COMMAND --help tells more.\n"
                  "exit codes: 0 fine, 1 your error, 2 it differs from PyTorch or was never proved here, 3 a bug.\n";
}

int run(const Command &command, const std::vector<std::string> &words) {
    const Arguments arguments(command, words);
    if (!arguments.help) return command.run(arguments);
    std::fputs(help_of(command).c_str(), stdout);
    return FINE;
}

int dispatch(const std::vector<std::string> &words) {
    if (words.empty()) throw usage("a command is missing; expected verify, interpolate, bench, devices or describe");
    if (words[0] == "--help" || words[0] == "-h") return std::fputs(help().c_str(), stdout) < 0 ? USER_ERROR : FINE;
    if (words[0] == "--version") return std::printf("ifrnet %s\n", ifrnet_version()) < 0 ? USER_ERROR : FINE;
    std::vector<std::string> names;
    for (const Command *command : COMMANDS) {
        if (words[0] == command->name) return run(*command, {words.begin() + 1, words.end()});
        names.push_back(command->name);
    }
    throw usage("there is no command " + words[0] + hint(words[0], names));
}

// One line, whatever a file name in it holds.
void complain(const std::string &program, std::string message) {
    for (char &character : message) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte < 32 || byte == 127) character = '?';
    }
    std::fprintf(stderr, "%s: %s\n", program.c_str(), message.c_str());
}

int guarded(const std::string &name, const std::vector<std::string> &words) {
    try {
        if (ifrnet_abi() != IFRNET_ABI) {
            throw usage("libifrnet has ABI " + std::to_string(ifrnet_abi()) + ", this program was built for " +
                        std::to_string(IFRNET_ABI) + ": install both from one build");
        }
        const int code = dispatch(words);
        if (std::fflush(stdout) == 0) return code;
        throw usage(std::string("the output cannot be written: ") + std::strerror(errno));
    } catch (const Stop &stop) {
        std::fflush(stdout);
        const std::string versions = std::string(" (this is a bug: report it, with ifrnet ") + ifrnet_version() + ")";
        complain(name, stop.message + (stop.code == BUG ? versions : ""));
        return stop.code;
    } catch (const std::bad_alloc &) {
        complain(name, "there is not enough memory for frames of this size");
        return USER_ERROR;
    } catch (const std::exception &error) {
        complain(name, std::string("this is a bug, report it: ") + error.what() + "; ifrnet " + ifrnet_version());
        return BUG;
    }
}

}  // namespace

int main(int count, char **values) {
    const std::vector<std::string> words(values + (count ? 1 : 0), values + count);
    std::string name = "ifrnet";
    for (const Command *command : COMMANDS) {
        if (!words.empty() && words[0] == command->name) name += " " + words[0];
    }
    return guarded(name, words);
}
