// Compiled shaders of a GPU, kept between runs: CACHE/pipelines/KEY.bin, one file for a device, driver and version of ncnn.
#pragma once
#include <memory>
#include <string>

#include "artifact.h"

namespace ncnn {
class PipelineCache;
}

namespace ifrnet {

// A file with the sha256 of what follows in front of it. That finds damage, not somebody who may write to the folder. A file
// that cannot be read or written is no error: a cache that cannot be used is as good as none.
Bytes read_sealed(const std::string &path, size_t limit); // empty where it is not there, damaged or larger than `limit`
bool write_sealed(const std::string &path, const Bytes &content); // to a temporary name, then renamed

class PipelineCache {
public:
    // device: ncnn's number of it; cache: folder, "" keeps nothing. What the file holds is given to the driver only if it
    // is whole and was written with the same device, driver and version of ncnn.
    PipelineCache(int device, const std::string &cache);
    ~PipelineCache();
    PipelineCache(const PipelineCache &) = delete;
    PipelineCache &operator=(const PipelineCache &) = delete;

    // For net.opt.pipeline_cache before load_param. It must outlive the net.
    ncnn::PipelineCache *get() const { return cache_.get(); }

    bool loaded() const { return before_ > 0; } // whether a file was used
    const std::string &path() const { return path_; }

    // After load_model: writes the file anew where there is more than it held. At most LIMIT bytes, or not at all.
    void save() const noexcept;

    static constexpr size_t LIMIT = size_t(64) << 20;

private:
    std::unique_ptr<ncnn::PipelineCache> cache_;
    std::string path_; // "" keeps nothing
    size_t before_ = 0; // bytes that were loaded
};

}  // namespace ifrnet
