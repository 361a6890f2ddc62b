// What becomes of BestFit where memory runs out at any of its requests. Prints what went otherwise than expected.
#include <cstdio>
#include <cstdlib>
#include <new>

#include "best_fit.h"

namespace {

int left = -1; // requests that are still granted; below 0: all

void *taken_from(ifrnet::BestFit &memory) {
    try {
        return memory.fastMalloc(100);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

}  // namespace

void *operator new(size_t size) {
    if (left == 0)
        throw std::bad_alloc();
    if (left > 0)
        left--;
    if (void *found = std::malloc(size))
        return found;
    throw std::bad_alloc();
}

void operator delete(void *block) noexcept { std::free(block); }
void operator delete(void *block, size_t) noexcept { std::free(block); }

int main() {
    for (int granted = 0; granted < 4; granted++) {
        ifrnet::BestFit memory;
        left = granted;
        for (int round = 0; round < 2; round++) { // in the second one with what the first one gave back
            void *blocks[3];
            for (void *&block : blocks)
                block = taken_from(memory);
            left = 0;
            for (int i = 0; i < 3; i++)
                if ((blocks[i] != nullptr) != (i < granted))
                    return std::printf("%d granted, round %d: block %d is %p\n", granted, round, i, blocks[i]), 1;
            for (void *block : blocks)
                memory.fastFree(block);
        }
        left = -1;
    }
    return 0;
}
