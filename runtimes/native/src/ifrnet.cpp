// The C ABI: checks what it is given, looks up handles, and turns exceptions into statuses.
#include "ifrnet.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "error.h"
#include "frames.h"
#include "runtime.h"
#include "threads.h"

namespace {

using namespace ifrnet;

constexpr size_t MAX_STEPS = 4096, MAX_FILES = 64;
constexpr uint32_t MAX_STRUCT = 4096; // bytes; no later version's is larger

thread_local std::string last_error;

// Handles are numbers that are never used twice, so a closed one is known for what it is.
class Table {
public:
    ifrnet_runtime *add(std::unique_ptr<Runtime> runtime) {
        const auto gone = std::make_shared<std::promise<void>>();
        Entry entry{nullptr, gone->get_future(), process_number()};
        entry.runtime.reset(runtime.release(), [gone](Runtime *last) {
            delete last;
            gone->set_value();
        });
        const std::lock_guard<std::mutex> guard(mutex_);
        runtimes_.emplace(++last_, std::move(entry));
        return reinterpret_cast<ifrnet_runtime *>(last_);
    }

    std::shared_ptr<Runtime> find(ifrnet_runtime *handle) {
        const std::lock_guard<std::mutex> guard(mutex_);
        const Entry &found = entry(handle)->second;
        if (found.process != process_number())
            fail(IFRNET_BACKEND, "this runtime was opened by process %d, of which this one, %d, was forked: open the "
                 "artifact again here", found.process, process_number());
        return found.runtime;
    }

    // The runtime is found no more, and released when this returns: the calls that run on it have ended.
    void close(ifrnet_runtime *handle) {
        std::unique_lock<std::mutex> guard(mutex_);
        const auto found = entry(handle);
        if (found->second.process != process_number())
            return; // a call that ran when this process was forked never ends here; the memory goes with the process
        const std::future<void> gone = std::move(found->second.gone);
        std::shared_ptr<Runtime> runtime = std::move(found->second.runtime);
        runtimes_.erase(found);
        guard.unlock();
        runtime.reset();
        gone.wait();
    }

private:
    struct Entry {
        std::shared_ptr<Runtime> runtime;
        std::future<void> gone; // when the last of its holders let it go
        int process;            // that opened it
    };
    using Entries = std::map<uintptr_t, Entry>;

    Entries::iterator entry(ifrnet_runtime *handle) {
        const auto found = runtimes_.find(reinterpret_cast<uintptr_t>(handle));
        if (found == runtimes_.end())
            fail(IFRNET_ARGUMENT, handle ? "this runtime was closed, or is none of ifrnet_open's"
                                         : "runtime is a null pointer; expected one of ifrnet_open's");
        return found;
    }

    std::mutex mutex_;
    Entries runtimes_;
    uintptr_t last_ = 0x1000; // no address that a program would hold
};

Table &table() {
    static Table *const kept = new Table; // never destroyed: threads may outlive main()
    return *kept;
}

ifrnet_status say(ifrnet_status status, const char *message) noexcept {
    try {
        last_error = message;
    } catch (...) {
        last_error.clear();
    }
    return status;
}

// Runs a call; whatever it throws becomes a status and a sentence.
template <class Call> ifrnet_status guarded(Call &&call) noexcept {
    try {
        last_error.clear();
        call();
        return IFRNET_OK;
    } catch (const Error &error) {
        return say(error.status, error.what());
    } catch (const std::bad_alloc &) {
        return say(IFRNET_MEMORY, "not enough memory: use a smaller size");
    } catch (const std::exception &error) {
        return say(IFRNET_INTERNAL, error.what());
    } catch (...) {
        return say(IFRNET_INTERNAL, "an unknown exception");
    }
}

void need(const void *pointer, const char *name) {
    if (!pointer)
        fail(IFRNET_ARGUMENT, "%s is a null pointer", name);
}

void check_size(uint32_t size, size_t known, const char *name) {
    if (size < known)
        fail(IFRNET_ARGUMENT, "%s.size is %u; expected %zu: set it to sizeof the struct", name, size, known);
}

// A struct of the caller's, cut to what this version knows; what it does not know has to be zero.
template <class Struct> Struct known_part(const Struct *given, const char *name) {
    check_size(given->size, sizeof(Struct), name);
    const char *bytes = reinterpret_cast<const char *>(given);
    const auto set = [](char byte) { return byte != 0; };
    if (given->size > MAX_STRUCT || std::any_of(bytes + sizeof(Struct), bytes + given->size, set))
        fail(IFRNET_ARGUMENT, "%s.size is %u and sets fields that this version (%s) does not know: update libifrnet", name,
             given->size, VERSION);
    return *given;
}

// The first struct of an array of the caller's states the size of all, and so where the others are: one that was never
// set would lead out of the array.
template <class Struct> void check_array(const Struct *array, const char *name) {
    check_size(array->size, sizeof(Struct), name);
    if (array->size > MAX_STRUCT || array->size % alignof(Struct) != 0)
        fail(IFRNET_ARGUMENT, "%s.size is %u; expected %zu, or a later version's: set it to sizeof the struct", name,
             array->size, sizeof(Struct));
}

template <class Struct> Struct *element(Struct *array, size_t i) {
    return reinterpret_cast<Struct *>(reinterpret_cast<uintptr_t>(array) + i * array->size);
}

void check_choice(int32_t value, int last, const char *name) {
    if (value < 0 || value > last)
        fail(IFRNET_ARGUMENT, "%s is %d; expected 0 to %d", name, value, last);
}

OpenOptions read_options(const ifrnet_options *given) {
    OpenOptions options;
    options.cache = default_cache();
    if (!given)
        return options;
    const ifrnet_options known = known_part(given, "options");
    check_choice(known.unproven, IFRNET_INSPECT, "options.unproven");
    check_choice(known.precision, IFRNET_FLOAT32, "options.precision");
    if (known.threads < 0 || known.threads > 1024)
        fail(IFRNET_ARGUMENT, "options.threads is %d; expected 1 to 1024, or 0 for one on each fast core", known.threads);
    options.threads = known.threads;
    options.unproven = static_cast<ifrnet_unproven>(known.unproven);
    options.float32 = known.precision == IFRNET_FLOAT32;
    if (known.device)
        options.device = known.device;
    if (known.cache)
        options.cache = known.cache;
    return options;
}

template <size_t N> void copy(char (&to)[N], const std::string &from) {
    std::strncpy(to, from.c_str(), N - 1);
    to[N - 1] = 0;
}

std::vector<float> read_steps(const Runtime &runtime, const float *t, size_t count) {
    need(t, "t");
    if (count < 1 || count > MAX_STEPS)
        fail(IFRNET_TIMESTEP, "count is %zu; expected 1 to %zu time steps", count, MAX_STEPS);
    std::vector<float> steps(t, t + count);
    for (float step : steps)
        runtime.check_step(step);
    return steps;
}

std::vector<ifrnet_image> read_outputs(const ifrnet_image *outputs, size_t count, Size size) {
    need(outputs, "outputs");
    check_array(outputs, "outputs[0]");
    std::vector<ifrnet_image> images;
    for (size_t i = 0; i < count; i++) {
        const std::string name = "outputs[" + std::to_string(i) + "]";
        images.push_back(known_part(element(outputs, i), name.c_str()));
        check_image(images.back(), size, name.c_str());
    }
    return images;
}

void write_device(const Device &found, ifrnet_device *device) {
    copy(device->name, found.name);
    copy(device->description, found.description);
    copy(device->driver, found.driver);
    copy(device->reason, found.reason);
    device->software = found.software;
}

void write_comparison(const Comparison &found, ifrnet_comparison *comparison) {
    comparison->width = found.size.width;
    comparison->height = found.size.height;
    comparison->together = found.together;
    comparison->t = static_cast<float>(found.t);
    comparison->max_error = found.max_error;
    comparison->psnr = found.psnr;
    comparison->block_error = found.block_error;
    copy(comparison->trouble, found.trouble);
}

// Fills an array of the caller's; *count becomes how many there are.
template <class Struct, class Found, class Write>
void write_all(const std::vector<Found> &found, Struct *array, size_t *count, const char *name, Write write) {
    if (array && *count) {
        check_array(array, name);
        for (size_t i = 0; i < std::min(*count, found.size()); i++)
            write(found[i], element(array, i));
    }
    *count = found.size();
}

void open(Artifact artifact, const OpenOptions &options, ifrnet_runtime **runtime) {
    *runtime = table().add(std::make_unique<Runtime>(std::move(artifact), options));
}

}  // namespace

uint32_t ifrnet_abi(void) { return IFRNET_ABI; }

const char *ifrnet_version(void) {
    static const std::string *const text = new std::string(std::string(VERSION) + ", ncnn " + NCNN_VERSION);
    return text->c_str();
}

const char *ifrnet_error(void) { return last_error.c_str(); }

ifrnet_status ifrnet_devices(ifrnet_device *found, size_t *count) {
    return guarded([&] {
        need(count, "count");
        if (*count)
            need(found, "devices");
        write_all(devices(), found, count, "devices[0]", write_device);
    });
}

ifrnet_status ifrnet_open(const char *folder, const ifrnet_options *options, ifrnet_runtime **runtime) {
    return guarded([&] {
        need(runtime, "runtime");
        *runtime = nullptr;
        need(folder, "folder");
        if (!*folder)
            fail(IFRNET_ARGUMENT, "folder is empty; expected the path of an artifact, \".\" for the working directory");
        const OpenOptions read = read_options(options);
        open(read_folder(folder), read, runtime);
    });
}

ifrnet_status ifrnet_open_memory(const ifrnet_file *files, size_t count, const ifrnet_options *options,
                                 ifrnet_runtime **runtime) {
    return guarded([&] {
        need(runtime, "runtime");
        *runtime = nullptr;
        need(files, "files");
        if (count < 1 || count > MAX_FILES)
            fail(IFRNET_ARGUMENT, "count is %zu files; expected 1 to %zu", count, MAX_FILES);
        for (size_t i = 0; i < count; i++) {
            need(files[i].name, "files[].name");
            need(files[i].data, "files[].data");
        }
        const OpenOptions read = read_options(options);
        open(read_memory(files, count), read, runtime);
    });
}

ifrnet_status ifrnet_describe(ifrnet_runtime *runtime, ifrnet_info *info) {
    return guarded([&] {
        need(info, "info");
        check_size(info->size, sizeof *info, "info");
        table().find(runtime)->describe(*info);
    });
}

ifrnet_status ifrnet_interpolate(ifrnet_runtime *runtime, const ifrnet_image *img0, const ifrnet_image *img1,
                                 const float *t, size_t count, const ifrnet_image *outputs) {
    return guarded([&] {
        const std::shared_ptr<Runtime> found = table().find(runtime);
        need(img0, "img0");
        need(img1, "img1");
        const ifrnet_image first = known_part(img0, "img0"), second = known_part(img1, "img1");
        check_image(first, found->size(), "img0");
        check_image(second, found->size(), "img1");
        const std::vector<float> steps = read_steps(*found, t, count);
        const std::vector<ifrnet_image> images = read_outputs(outputs, count, found->size());
        for (size_t i = 0; i < count; i++) {
            if (overlap(images[i], first) || overlap(images[i], second))
                fail(IFRNET_FRAME, "outputs[%zu] overlaps with an input; give it memory of its own", i);
            for (size_t j = 0; j < i; j++)
                if (overlap(images[i], images[j]))
                    fail(IFRNET_FRAME, "outputs[%zu] overlaps with outputs[%zu]; give each memory of its own", i, j);
        }
        found->interpolate(first, second, steps, images.data());
    });
}

ifrnet_status ifrnet_infer(ifrnet_runtime *runtime, const float *img0, const float *img1, const float *t, size_t count,
                           float *output, size_t output_values) {
    return guarded([&] {
        const std::shared_ptr<Runtime> found = table().find(runtime);
        need(img0, "img0");
        need(img1, "img1");
        need(output, "output");
        const std::vector<float> steps = read_steps(*found, t, count);
        const size_t values = 3 * static_cast<size_t>(found->size().width) * static_cast<size_t>(found->size().height);
        if (output_values != count * values)
            fail(IFRNET_FRAME, "output_values is %zu; expected %zu: %zu frames of 3 x %d x %d", output_values,
                 count * values, count, found->size().height, found->size().width);
        found->infer(img0, img1, steps, output);
    });
}

ifrnet_status ifrnet_cancel(ifrnet_runtime *runtime) {
    return guarded([&] { table().find(runtime)->cancel(); });
}

ifrnet_status ifrnet_verify(ifrnet_runtime *runtime, ifrnet_comparison *comparisons, size_t *count) {
    return guarded([&] {
        const std::shared_ptr<Runtime> found = table().find(runtime);
        if (comparisons) {
            need(count, "count");
            if (*count)
                check_array(comparisons, "comparisons[0]"); // before seconds of work
        }
        std::vector<Comparison> results;
        const Belief belief = found->verify(results);
        if (count)
            write_all(results, comparisons, count, "comparisons[0]", write_comparison);
        if (belief.verdict == Belief::Failed)
            fail(IFRNET_PARITY, "%s", belief.reason.c_str());
    });
}

ifrnet_status ifrnet_close(ifrnet_runtime *runtime) {
    return guarded([&] {
        if (runtime)
            table().close(runtime);
    });
}
