#include "best_fit.h"

namespace ifrnet {

namespace {

// A block may be so many times larger than what is asked for; a larger one is kept for a larger request.
constexpr size_t LARGEST_SHARE = 2;

}  // namespace

BestFit::~BestFit() {
    for (const auto &[size, block] : free_)
        ncnn::fastFree(block);
}

void *BestFit::fastMalloc(size_t size) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = free_.lower_bound(size);
    if (found != free_.end() && found->first / LARGEST_SHARE <= size) {
        void *block = found->second;
        used_[block] = found->first;
        free_.erase(found);
        return block;
    }
    void *block = ncnn::fastMalloc(size);
    if (!block) { // what is kept may be in the way
        for (const auto &[bytes, kept] : free_)
            ncnn::fastFree(kept);
        free_.clear();
        block = ncnn::fastMalloc(size);
    }
    if (block)
        used_[block] = size;
    return block;
}

void BestFit::fastFree(void *block) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = used_.find(block);
    if (found == used_.end())
        return;
    free_.emplace(found->second, block);
    used_.erase(found);
}

}  // namespace ifrnet
