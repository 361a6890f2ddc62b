#include "threads.h"

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

#include "error.h"

namespace ifrnet {

namespace {

// How many threads can be started beside this one, `wanted` at most. They wait for each other and end.
int startable(int wanted) {
    std::vector<std::thread> started;
    std::mutex gate;
    std::unique_lock<std::mutex> closed(gate);
    try {
        started.reserve(static_cast<size_t>(wanted));
        while (static_cast<int>(started.size()) < wanted)
            started.emplace_back([&gate] { const std::lock_guard<std::mutex> passed(gate); });
    } catch (const std::exception &) { // std::system_error, or no memory for one more
    }
    closed.unlock();
    for (std::thread &thread : started)
        thread.join();
    return static_cast<int>(started.size());
}

}  // namespace

int process_number() { return static_cast<int>(getpid()); }

void prepare_threads(int count) {
    thread_local int process = 0, running = 1; // where this thread computed with others last, and with how many in all
    if (count <= 1)
        return;
    const int here = process_number();
    if (running > 1 && process != here)
        fail(IFRNET_BACKEND, "process %d was forked from %d, where this thread had computed with %d threads, and would "
             "wait for them: open it with options.threads = 1 here, or use libifrnet in children only", here, process,
             running);
    if (count > running) {
        const int others = startable(count - 1);
        if (others < count - 1)
            fail(IFRNET_BACKEND, "the system lets this process start %d of the %d threads that are asked for: open it "
                 "with a smaller options.threads", others + 1, count);
    }
    process = here;
    running = count;
}

}  // namespace ifrnet
