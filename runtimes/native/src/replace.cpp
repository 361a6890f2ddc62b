#include "replace.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <sys/stat.h>
#if defined(_WIN32)
#include <direct.h>
#else
#include <unistd.h>
#endif

#include "threads.h"

namespace ifrnet {

namespace {

// In the same folder, and of this process alone.
std::string temporary_name(const std::string &path) {
    static std::atomic<unsigned> counter{0};
    size_t slash = path.rfind('/') + 1; // 0 where there is none
    std::string tail = ".native-" + std::to_string(process_number()) + "-" + std::to_string(counter++) + ".partial";
    return path.substr(0, slash) + "." + path.substr(slash) + tail;
}

bool write_whole(std::FILE *file, const std::string &text) {
    bool fine = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
#if !defined(_WIN32)
    fine = fine && fsync(fileno(file)) == 0; // after a power cut there is the old file or the new one
#endif
    return std::fclose(file) == 0 && fine;
}

}  // namespace

std::string replace_file(const std::string &path, const std::string &text) {
    const std::string partial = temporary_name(path);
    std::remove(partial.c_str()); // of a process that had this number before, and died
    std::FILE *file = std::fopen(partial.c_str(), "wbx");
    if (file == nullptr) return std::strerror(errno);
    std::error_code error;
    if (write_whole(file, text))
        std::filesystem::rename(partial, path, error); // on Windows std::rename replaces no file
    else
        error.assign(errno, std::generic_category());
    if (!error) return "";
    std::remove(partial.c_str());
    return error.message();
}

void make_folders(const std::string &path) {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        const std::string folder = path.substr(0, end);
#if defined(_WIN32)
        _mkdir(folder.c_str());
#else
        mkdir(folder.c_str(), 0777);
#endif
        if (end == std::string::npos) return;
    }
}

}  // namespace ifrnet
