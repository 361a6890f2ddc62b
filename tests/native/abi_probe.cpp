// What a careless app does to libifrnet: abi_probe ARTIFACT. Prints each thing that went otherwise than expected, and
// then "N passed, N failed". Built under AddressSanitizer and UndefinedBehaviorSanitizer.
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "ifrnet.h"

namespace {

int passed = 0, failed = 0;

void check(bool right, const char *what) {
    (right ? passed : failed)++;
    if (!right)
        std::printf("FAILED %s; ifrnet_error(): %s\n", what, ifrnet_error());
}

// The status, and a word that the sentence has to hold.
void expect(ifrnet_status wanted, ifrnet_status got, const char *word, const char *what) {
    const bool said = std::strstr(ifrnet_error(), word) != nullptr && !std::strchr(ifrnet_error(), '\n');
    (got == wanted && said ? passed : failed)++;
    if (got != wanted || !said)
        std::printf("FAILED %s: status %d (expected %d), '%s' (expected '%s')\n", what, got, wanted, ifrnet_error(), word);
}

ifrnet_options options_of(ifrnet_unproven unproven = IFRNET_ALLOW) {
    ifrnet_options options{};
    options.size = sizeof options;
    options.threads = 1;
    options.unproven = unproven;
    options.cache = "";
    return options;
}

ifrnet_runtime *open(const char *folder) {
    const ifrnet_options options = options_of();
    ifrnet_runtime *runtime = nullptr;
    expect(IFRNET_OK, ifrnet_open(folder, &options, &runtime), "", "open");
    return runtime;
}

ifrnet_info describe(ifrnet_runtime *runtime) {
    ifrnet_info info{};
    info.size = sizeof info;
    expect(IFRNET_OK, ifrnet_describe(runtime, &info), "", "describe");
    return info;
}

// An image of exactly the memory that it needs, so that a byte too far is found.
struct Picture {
    std::vector<uint8_t> memory[3];
    ifrnet_image image{};

    Picture(ifrnet_layout layout, int width, int height) {
        const size_t w = static_cast<size_t>(width), h = static_cast<size_t>(height), cw = (w + 1) / 2, ch = (h + 1) / 2;
        size_t rows[3] = {3 * w, 0, 0}, lines[3] = {h, ch, ch};
        if (layout == IFRNET_RGBA || layout == IFRNET_BGRA)
            rows[0] = 4 * w;
        if (layout == IFRNET_NV12 || layout == IFRNET_NV21)
            rows[0] = w, rows[1] = 2 * cw;
        if (layout == IFRNET_I420)
            rows[0] = w, rows[1] = rows[2] = cw;
        if (layout == IFRNET_P010)
            rows[0] = 2 * w, rows[1] = 4 * cw;
        image.size = sizeof image;
        image.layout = layout;
        image.width = width;
        image.height = height;
        for (int i = 0; i < 3; i++) {
            memory[i].resize(rows[i] * lines[i]);
            for (size_t j = 0; j < memory[i].size(); j++)
                memory[i][j] = static_cast<uint8_t>(j * 7 + j / (rows[i] + 1));
            image.plane[i] = rows[i] ? memory[i].data() : nullptr;
            image.stride[i] = static_cast<ptrdiff_t>(rows[i]);
            image.bytes[i] = memory[i].size();
        }
    }
};

struct Pair {
    Picture a, b, out;
    float t = 0.5f;

    Pair(ifrnet_layout layout, const ifrnet_info &info)
        : a(layout, info.width, info.height), b(layout, info.width, info.height), out(layout, info.width, info.height) {}

    ifrnet_status run(ifrnet_runtime *runtime) {
        return ifrnet_interpolate(runtime, &a.image, &b.image, &t, 1, &out.image);
    }
};

void null_pointers(ifrnet_runtime *runtime, const ifrnet_info &info, const char *folder) {
    Pair pair(IFRNET_RGB, info);
    const ifrnet_image *a = &pair.a.image, *out = &pair.out.image;
    const float *t = &pair.t;
    ifrnet_runtime *other = nullptr;
    size_t count = 1;
    expect(IFRNET_ARGUMENT, ifrnet_devices(nullptr, nullptr), "count", "devices(NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_devices(nullptr, &count), "devices", "devices(NULL, 1)");
    expect(IFRNET_ARGUMENT, ifrnet_open(folder, nullptr, nullptr), "runtime", "open without a place");
    expect(IFRNET_ARGUMENT, ifrnet_open(nullptr, nullptr, &other), "folder", "open(NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_open("", nullptr, &other), "folder is empty; expected", "open of an empty name");
    expect(IFRNET_ARGUMENT, ifrnet_open_memory(nullptr, 1, nullptr, &other), "files", "open_memory(NULL)");
    const ifrnet_file file = {"manifest.json", nullptr, 4};
    expect(IFRNET_ARGUMENT, ifrnet_open_memory(&file, 1, nullptr, &other), "data", "a file of NULL");
    expect(IFRNET_ARGUMENT, ifrnet_open_memory(&file, 0, nullptr, &other), "count", "no files");
    expect(IFRNET_ARGUMENT, ifrnet_describe(runtime, nullptr), "info", "describe(NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_describe(nullptr, nullptr), "null", "describe(NULL, NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_interpolate(nullptr, a, a, t, 1, out), "runtime", "interpolate without a runtime");
    expect(IFRNET_ARGUMENT, ifrnet_interpolate(runtime, nullptr, a, t, 1, out), "img0", "img0 = NULL");
    expect(IFRNET_ARGUMENT, ifrnet_interpolate(runtime, a, nullptr, t, 1, out), "img1", "img1 = NULL");
    expect(IFRNET_ARGUMENT, ifrnet_interpolate(runtime, a, a, nullptr, 1, out), "t is", "t = NULL");
    expect(IFRNET_ARGUMENT, ifrnet_interpolate(runtime, a, a, t, 1, nullptr), "outputs", "outputs = NULL");
    expect(IFRNET_ARGUMENT, ifrnet_infer(runtime, nullptr, nullptr, t, 1, nullptr, 0), "img0", "infer(NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_cancel(nullptr), "runtime", "cancel(NULL)");
    expect(IFRNET_ARGUMENT, ifrnet_verify(nullptr, nullptr, nullptr), "runtime", "verify(NULL)");
    expect(IFRNET_OK, ifrnet_close(nullptr), "", "close(NULL)");
    int stranger = 0;
    expect(IFRNET_ARGUMENT, ifrnet_cancel(reinterpret_cast<ifrnet_runtime *>(&stranger)), "closed", "a stranger's pointer");
}

void structs_of_other_sizes(ifrnet_runtime *runtime, const ifrnet_info &info, const char *folder) {
    ifrnet_runtime *other = nullptr;
    ifrnet_options options = options_of();
    for (uint32_t size : {0u, 8u, static_cast<uint32_t>(sizeof options - 1)}) {
        options.size = size;
        expect(IFRNET_ARGUMENT, ifrnet_open(folder, &options, &other), "options.size", "options of another size");
    }
    struct Later {
        ifrnet_options options;
        uint64_t more;
    } later{options_of(), 0};
    later.options.size = sizeof later;
    expect(IFRNET_OK, ifrnet_open(folder, &later.options, &other), "", "options of a later version, unused");
    ifrnet_close(other);
    later.more = 1;
    expect(IFRNET_ARGUMENT, ifrnet_open(folder, &later.options, &other), "does not know", "options of a later version");
    options = options_of();
    options.threads = -1;
    expect(IFRNET_ARGUMENT, ifrnet_open(folder, &options, &other), "threads", "-1 threads");
    options = options_of();
    options.unproven = 7;
    expect(IFRNET_ARGUMENT, ifrnet_open(folder, &options, &other), "unproven", "unproven = 7");
    options = options_of();
    options.device = "cuda:0";
    expect(IFRNET_BACKEND, ifrnet_open(folder, &options, &other), "cuda:0", "no such device");
    ifrnet_info small{};
    expect(IFRNET_ARGUMENT, ifrnet_describe(runtime, &small), "info.size", "info of size 0");
    Pair pair(IFRNET_RGB, info);
    pair.a.image.size = 4;
    expect(IFRNET_ARGUMENT, pair.run(runtime), "img0.size", "an image of another size");
    Pair second(IFRNET_RGB, info);
    second.out.image.size = 0;
    expect(IFRNET_ARGUMENT, second.run(runtime), "outputs[0].size", "an output of size 0");
}

// The first struct's size says where the second one is: one that was never set, and one that leaves it misaligned.
void arrays_of_other_sizes(ifrnet_runtime *runtime, const ifrnet_info &info) {
    const float steps[2] = {0.25f, 0.5f};
    const Pair pair(IFRNET_RGB, info);
    for (uint32_t bytes : {0xaaaaaaaau, 4096u + 8u, 0u}) {
        size_t count = 2;
        ifrnet_device devices[2]{};
        devices[0].size = bytes ? bytes : sizeof(ifrnet_device) + 2;
        expect(IFRNET_ARGUMENT, ifrnet_devices(devices, &count), "devices[0].size is", "devices of a size never set");
        ifrnet_comparison comparisons[2]{};
        comparisons[0].size = bytes ? bytes : sizeof(ifrnet_comparison) + 4;
        expect(IFRNET_ARGUMENT, ifrnet_verify(runtime, comparisons, &count), "comparisons[0].size is",
               "comparisons of a size never set");
        ifrnet_image outputs[3] = {pair.out.image, pair.out.image, {}};
        outputs[0].size = bytes ? bytes : sizeof(ifrnet_image) + 4;
        expect(IFRNET_ARGUMENT, ifrnet_interpolate(runtime, &pair.a.image, &pair.b.image, steps, 2, outputs),
               "outputs[0].size is", "outputs of a size never set");
    }
}

template <class Change> void refused(ifrnet_runtime *runtime, const ifrnet_info &info, ifrnet_layout layout,
                                     const char *what, Change change) {
    Pair pair(layout, info);
    change(pair);
    const std::vector<uint8_t> before = pair.out.memory[0];
    expect(IFRNET_FRAME, pair.run(runtime), "", what);
    check(*ifrnet_error() != 0, "a refused frame has a sentence");
    check(pair.out.memory[0] == before, "a refused call writes nothing");
}

void images(ifrnet_runtime *runtime, const ifrnet_info &info) {
    for (ifrnet_layout layout : {IFRNET_RGB, IFRNET_BGR, IFRNET_RGBA, IFRNET_BGRA, IFRNET_NV12, IFRNET_NV21, IFRNET_I420,
                                 IFRNET_P010}) {
        Pair pair(layout, info);
        expect(IFRNET_OK, pair.run(runtime), "", "an image of exactly its memory");
        Pair down(layout, info); // rows upside down
        for (Picture *picture : {&down.a, &down.b, &down.out})
            for (int i = 0; i < 3; i++)
                if (picture->image.plane[i]) {
                    const ptrdiff_t row = picture->image.stride[i];
                    picture->image.plane[i] = picture->memory[i].data() + picture->memory[i].size() - row;
                    picture->image.stride[i] = -row;
                }
        expect(IFRNET_OK, down.run(runtime), "", "an image upside down");
        refused(runtime, info, layout, "a byte too few", [](Pair &p) { p.out.image.bytes[0]--; });
        refused(runtime, info, layout, "a stride below a row", [](Pair &p) { p.a.image.stride[0]--; });
        refused(runtime, info, layout, "a stride that leaves the memory", [](Pair &p) { p.b.image.stride[0] += 1; });
        refused(runtime, info, layout, "a stride near overflow", [](Pair &p) { p.b.image.stride[0] = PTRDIFF_MAX; });
        refused(runtime, info, layout, "the least stride", [](Pair &p) { p.b.image.stride[0] = PTRDIFF_MIN; });
        refused(runtime, info, layout, "another width", [](Pair &p) { p.a.image.width++; });
        refused(runtime, info, layout, "a negative height", [](Pair &p) { p.a.image.height = -4; });
        refused(runtime, info, layout, "output over input", [](Pair &p) {
            for (int i = 0; i < 3; i++)
                p.out.image.plane[i] = p.a.image.plane[i];
        });
    }
    for (ifrnet_layout layout : {IFRNET_NV12, IFRNET_I420})
        refused(runtime, info, layout, "chroma of too little memory", [](Pair &p) { p.a.image.bytes[1]--; });
    refused(runtime, info, IFRNET_RGB, "an unknown layout", [](Pair &p) { p.a.image.layout = 99; });
    refused(runtime, info, IFRNET_NV12, "an unknown matrix", [](Pair &p) { p.a.image.matrix = 9; });
}

void shared_outputs(ifrnet_runtime *runtime, const ifrnet_info &info) {
    const float steps[2] = {0.25f, 0.5f};
    for (ifrnet_layout layout : {IFRNET_RGB, IFRNET_I420}) {
        Pair pair(layout, info);
        const ifrnet_image twice[2] = {pair.out.image, pair.out.image};
        const std::vector<uint8_t> before = pair.out.memory[0];
        expect(IFRNET_FRAME, ifrnet_interpolate(runtime, &pair.a.image, &pair.b.image, steps, 2, twice),
               "outputs[1] overlaps with outputs[0]", "two outputs in one memory");
        check(pair.out.memory[0] == before, "outputs in one memory are refused before anything is written");
    }
    Pair pair(IFRNET_RGB, info);
    Picture wide(IFRNET_RGB, 2 * info.width, info.height);
    ifrnet_image halves[2] = {wide.image, wide.image};
    for (ifrnet_image &half : halves)
        half.width = info.width;
    halves[1].plane[0] = wide.memory[0].data() + 3 * info.width;
    halves[1].bytes[0] -= 3 * static_cast<size_t>(info.width);
    expect(IFRNET_OK, ifrnet_interpolate(runtime, &pair.a.image, &pair.b.image, steps, 2, halves), "",
           "two outputs side by side in one picture");
}

void timesteps(ifrnet_runtime *runtime, const ifrnet_info &info) {
    for (float t : {0.0f, 1.0f, -0.5f, 2.0f, std::nanf(""), INFINITY}) {
        Pair pair(IFRNET_RGB, info);
        pair.t = t;
        expect(IFRNET_TIMESTEP, pair.run(runtime), "t is", "t outside of (0, 1)");
    }
    Pair pair(IFRNET_RGB, info);
    expect(IFRNET_TIMESTEP, ifrnet_interpolate(runtime, &pair.a.image, &pair.b.image, &pair.t, 0, &pair.out.image), "count",
           "no time steps");
    std::vector<float> frame(3 * static_cast<size_t>(info.width) * static_cast<size_t>(info.height), 0.5f), out = frame;
    expect(IFRNET_FRAME, ifrnet_infer(runtime, frame.data(), frame.data(), &pair.t, 1, out.data(), out.size() - 1),
           "output_values", "an output of another length");
    expect(IFRNET_OK, ifrnet_infer(runtime, frame.data(), frame.data(), &pair.t, 1, out.data(), out.size()), "", "infer");
    frame[7] = std::nanf("");
    expect(IFRNET_FRAME, ifrnet_infer(runtime, frame.data(), frame.data(), &pair.t, 1, out.data(), out.size()), "finite",
           "a frame with NaN");
}

void threads(const char *folder, const ifrnet_info &info) {
    ifrnet_runtime *runtime = open(folder);
    std::atomic<int> fine{0}, closed{0}, other{0};
    std::vector<std::thread> running;
    for (int i = 0; i < 3; i++)
        running.emplace_back([&] {
            for (int j = 0; j < 2; j++) {
                Pair pair(IFRNET_RGB, info);
                const ifrnet_status status = pair.run(runtime);
                (status == IFRNET_OK ? fine : status == IFRNET_ARGUMENT ? closed : other)++;
            }
        });
    std::atomic<int> closings{0};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (int i = 0; i < 4; i++)
        running.emplace_back([&] { closings += ifrnet_close(runtime) == IFRNET_OK; });
    for (std::thread &thread : running)
        thread.join();
    check(closings == 1, "of several threads that close, one does");
    check(other == 0 && fine + closed == 6, "calls beside a close are done or refused");
    expect(IFRNET_ARGUMENT, ifrnet_close(runtime), "closed", "close after close");
}

// An app frees its images when close has returned: nothing is written to them from then on.
void close_waits(const char *folder, const ifrnet_info &info) {
    ifrnet_runtime *runtime = open(folder);
    const std::vector<float> steps(16, 0.5f);
    const std::vector<float> frame(3 * static_cast<size_t>(info.width) * static_cast<size_t>(info.height), 0.5f);
    std::vector<float> out(steps.size() * frame.size(), -1.0f);
    std::atomic<bool> begun{false};
    ifrnet_status status = IFRNET_INTERNAL;
    std::thread running([&] {
        begun = true;
        status = ifrnet_infer(runtime, frame.data(), frame.data(), steps.data(), steps.size(), out.data(), out.size());
    });
    while (!begun)
        std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    expect(IFRNET_OK, ifrnet_close(runtime), "", "close beside a call");
    const bool written = out.back() >= 0.0f;
    running.join();
    check(written == (status == IFRNET_OK), "close waits for the call that runs");
    check(status == IFRNET_OK || status == IFRNET_ARGUMENT, "the call beside a close is done or refused");
}

void cancelling(ifrnet_runtime *runtime, const ifrnet_info &info) {
    std::vector<float> steps;
    for (int i = 1; i < 400; i++)
        steps.push_back(static_cast<float>(i) / 400.0f);
    const size_t values = 3 * static_cast<size_t>(info.width) * static_cast<size_t>(info.height);
    const std::vector<float> frame(values, 0.5f);
    std::vector<float> out(steps.size() * values);
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        ifrnet_cancel(runtime);
    });
    expect(IFRNET_CANCELLED, ifrnet_infer(runtime, frame.data(), frame.data(), steps.data(), steps.size(), out.data(),
                                          out.size()), "cancel", "a call that is cancelled");
    canceller.join();
    Pair pair(IFRNET_RGB, info);
    expect(IFRNET_OK, pair.run(runtime), "", "the call after a cancelled one");
    ifrnet_cancel(runtime);
    expect(IFRNET_OK, pair.run(runtime), "", "a cancel between calls concerns none");
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 2)
        return 1;
    const char *folder = arguments[1];
    check(ifrnet_abi() == IFRNET_ABI, "the ABI of the header");
    ifrnet_runtime *runtime = open(folder);
    const ifrnet_info info = describe(runtime);
    null_pointers(runtime, info, folder);
    structs_of_other_sizes(runtime, info, folder);
    arrays_of_other_sizes(runtime, info);
    images(runtime, info);
    shared_outputs(runtime, info);
    timesteps(runtime, info);
    threads(folder, info);
    close_waits(folder, info);
    cancelling(runtime, info);
    expect(IFRNET_OK, ifrnet_close(runtime), "", "close");
    expect(IFRNET_ARGUMENT, ifrnet_describe(runtime, nullptr), "", "describe after close");
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed ? 2 : 0;
}
