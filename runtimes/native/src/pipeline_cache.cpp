#include "pipeline_cache.h"

#include <cstring>

#include "error.h"
#include "platform.h"
#include "replace.h"
#include "sha256.h"
#if NCNN_VULKAN
#include "gpu.h"
#include "pipelinecache.h"
#endif

namespace ifrnet {
namespace {

constexpr size_t SEAL = 65; // 64 digits and a line end

std::string seal(const uint8_t *content, size_t bytes) { return sha256(content, bytes) + "\n"; }

}  // namespace

Bytes read_sealed(const std::string &path, size_t limit) try {
    const Bytes whole = read_file(path, limit + SEAL);
    if (whole.size() < SEAL) return {};
    const std::string expected = seal(whole.data() + SEAL, whole.size() - SEAL);
    if (std::memcmp(whole.data(), expected.data(), SEAL) != 0) return {};
    return Bytes(whole.begin() + SEAL, whole.end());
} catch (const Error &) {
    return {};
}

bool write_sealed(const std::string &path, const Bytes &content) {
    make_folders(path.substr(0, path.rfind('/')));
    return replace_file(path, seal(content.data(), content.size()) + std::string(content.begin(), content.end())).empty();
}

#if NCNN_VULKAN
namespace {

// What the compiled shaders depend on; ncnn looks at the same once more, by weaker sums.
std::string key(const ncnn::GpuInfo &device) {
    std::string text = device.device_name();
    text += "\n" + std::string(device.driver_name()) + "\n" + std::to_string(device.driver_version()) + "\n";
    text.append(reinterpret_cast<const char *>(device.pipeline_cache_uuid()), VK_UUID_SIZE);
    text += "\n" NCNN_VERSION_STRING "\n" + std::to_string(sizeof(void *));
    return sha256(text.data(), text.size());
}

}  // namespace

PipelineCache::PipelineCache(int device, const std::string &cache) {
    const ncnn::VulkanDevice *gpu = ncnn::get_gpu_device(device);
    cache_ = std::make_unique<ncnn::PipelineCache>(gpu);
    if (cache.empty()) return;
    path_ = cache + "/pipelines/" + key(gpu->info) + ".bin";
    const Bytes known = read_sealed(path_, LIMIT);
    if (!known.empty() && cache_->load_cache(known) == 0) before_ = known.size();
}

PipelineCache::~PipelineCache() = default;

void PipelineCache::save() const noexcept try {
    Bytes content;
    if (path_.empty() || cache_->save_cache(content) != 0) return;
    if (content.size() > before_ && content.size() <= LIMIT) write_sealed(path_, content);
} catch (...) {
    // Without memory for a copy of the cache the next run compiles again.
}
#endif

}  // namespace ifrnet
