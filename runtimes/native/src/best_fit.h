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
    void *fastMalloc(size_t size) override; // nullptr where there is no memory
    void fastFree(void *block) override; // takes no memory: destructors call it

private:
    std::mutex mutex_;
    std::multimap<size_t, void *> free_, used_; // by size in bytes; both alike, for a node to move without new memory
};

}  // namespace ifrnet
