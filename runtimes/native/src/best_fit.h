// Memory for blobs: kept from call to call, as ncnn's own pool does, but each request takes the smallest block that fits.
// ncnn's takes the first one, and so holds twice the memory of a frame's blobs.
#pragma once
#include <allocator.h>

#include <map>
#include <mutex>

namespace ifrnet {

class BestFit : public ncnn::Allocator {
public:
    ~BestFit() override;
    // Throws std::bad_alloc where others give nullptr: some of ncnn's layers (Gemm) do not look. They ask outside of
    // their parallel regions, so it reaches the caller.
    void *fastMalloc(size_t size) override;
    void fastFree(void *block) override; // takes no memory: destructors call it

private:
    std::mutex mutex_;
    std::multimap<size_t, void *> free_, used_; // by size in bytes; both alike, for a node to move without new memory
};

}  // namespace ifrnet
