#include "best_fit.h"

#include <algorithm>
#include <new>

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
        used_.insert(free_.extract(found));
        return block;
    }
    void *block = ncnn::fastMalloc(size);
    if (!block) { // what is kept may be in the way
        for (const auto &[bytes, kept] : free_)
            ncnn::fastFree(kept);
        free_.clear();
        block = ncnn::fastMalloc(size);
    }
    if (!block)
        throw std::bad_alloc();
    try {
        used_.emplace(size, block);
    } catch (const std::bad_alloc &) {
        ncnn::fastFree(block);
        throw;
    }
    return block;
}

void BestFit::fastFree(void *block) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = std::find_if(used_.begin(), used_.end(), [&](const auto &item) { return item.second == block; });
    if (found != used_.end())
        free_.insert(used_.extract(found));
}

}  // namespace ifrnet
