// The one file with stb's code, which lies among ncnn's sources.
#include "images.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

#include "orientation.h"
#include "stop.h"

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#endif
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_MAX_DIMENSIONS 16384
#include "stb_image.h"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include "stb_image_write.h"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace program {

namespace {

constexpr long long MAX_PIXELS = 1LL << 26; // as runtimes/video/stills.py: a small file can declare gigabytes
constexpr size_t MAX_BYTES = size_t{1} << 28;

struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::vector<uint8_t> read_bytes(const std::string &path) {
    const File file(std::fopen(path.c_str(), "rb"));
    if (!file) throw usage(path + " cannot be opened: " + std::strerror(errno) + "; pass a .png, .jpg or .bmp file");
    std::vector<uint8_t> bytes;
    uint8_t part[1 << 16];
    size_t count = 0;
    while ((count = std::fread(part, 1, sizeof part, file.get())) > 0) {
        bytes.insert(bytes.end(), part, part + count);
        if (bytes.size() > MAX_BYTES) throw usage(path + " is over 256 MB; expected an image file");
    }
    if (std::ferror(file.get())) throw usage(path + " cannot be read: " + std::strerror(errno));
    return bytes;
}

void append(void *context, void *data, int size) {
    auto &bytes = *static_cast<std::vector<uint8_t> *>(context);
    const auto *first = static_cast<const uint8_t *>(data);
    bytes.insert(bytes.end(), first, first + size);
}

// False where the file system refused a part; errno says why.
bool save(const std::vector<uint8_t> &bytes, const std::string &path) {
    std::FILE *file = std::fopen(path.c_str(), "wb");
    if (!file) return false;
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    return (std::fclose(file) == 0) && written;
}

}  // namespace

Picture read_picture(const std::string &path) {
    const std::vector<uint8_t> bytes = read_bytes(path);
    const auto size = static_cast<int>(bytes.size());
    int width = 0, height = 0, channels = 0;
    if (!stbi_info_from_memory(bytes.data(), size, &width, &height, &channels)) {
        throw usage(path + " is no image of a known kind (" + stbi_failure_reason() + "); expected PNG, JPEG or BMP");
    }
    if (static_cast<long long>(width) * height > MAX_PIXELS) {
        throw usage(path + " is " + std::to_string(width) + "x" + std::to_string(height) +
                    "; expected at most 67 million pixels: scale it down first");
    }
    if (stbi_is_16_bit_from_memory(bytes.data(), size)) {
        throw usage(path + " has 16 bits a value; expected 8: convert it, or use python -m runtimes interpolate");
    }
    const std::unique_ptr<stbi_uc, void (*)(void *)> pixels(
        stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, 3), stbi_image_free);
    if (!pixels) throw usage(path + " is damaged: " + stbi_failure_reason());
    const size_t values = size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height);
    const int way = orientation(bytes);
    Picture picture{width, height, upright({pixels.get(), pixels.get() + values}, width, height, way), channels % 2 == 0};
    if (way >= 5) std::swap(picture.width, picture.height);
    return picture;
}

void write_png(const Picture &picture, const std::string &path) {
    std::vector<uint8_t> bytes;
    const int stride = 3 * picture.width;
    if (!stbi_write_png_to_func(append, &bytes, picture.width, picture.height, 3, picture.rgb.data(), stride)) {
        throw std::bad_alloc(); // its only way to fail
    }
    // Of this process alone, and short: the output's own name may be as long as the file system takes.
    const std::string name = ".ifrnet-" + std::to_string(getpid()) + ".partial";
    const std::string partial = std::filesystem::path(path).replace_filename(name).string();
    std::error_code error;
    if (save(bytes, partial))
        std::filesystem::rename(partial, path, error); // on Windows std::rename replaces no file
    else
        error.assign(errno, std::generic_category());
    if (!error) return;
    std::remove(partial.c_str());
    throw usage(path + " cannot be written: " + error.message());
}

bool exists(const std::string &path) {
    const File file(std::fopen(path.c_str(), "rb"));
    return file || errno == EACCES; // it is there, but not for us to read
}

}  // namespace program
