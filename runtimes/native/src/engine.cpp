#include "engine.h"

#include <cpu.h>
#include <datareader.h>
#include <net.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "best_fit.h"
#include "error.h"
#include "network.h"
#include "options.h"
#include "pipeline_cache.h"
#include "rewrite.h"
#include "threads.h"
#include "warp.h"

namespace ifrnet {

namespace {

constexpr const char *INPUTS[3] = {"in0", "in1", "in2"};
constexpr const char *OUTPUT = "out0";

// The layers as this library runs them there; those of the artifact where their form is another than the exporter's.
std::vector<Layer> layers_of(const Artifact &artifact, const Target &target) {
    const Bytes &param = artifact.file("model.param"), &weights = artifact.file("model.bin");
    std::vector<Layer> layers =
        check_network(std::string(param.begin(), param.end()), weights, artifact.manifest.size);
    try {
        return for_target(layers, weights, target);
    } catch (const std::invalid_argument &) {
        return layers;
    }
}

// Where memory runs out while it loads, ncnn (20261020) writes to where none is. So what it needs at most is asked for
// before, and given back: Winograd's F(6,3) makes 64 float32 of 9 weights, beside the weights themselves. It can go
// when Convolution::create_pipeline looks at what it was given.
void check_memory(const Artifact &artifact, size_t weights) {
    const std::string &precision = artifact.manifest.precision;
    const size_t growth = precision == "fp16" || precision == "int8" ? 16 : 8; // stored in half of a float32, or less
    void *const block = ncnn::fastMalloc(growth * weights);
    if (!block)
        fail(IFRNET_MEMORY, "not enough memory to load %s, which takes up to %zu MB: use a smaller checkpoint",
             one_line(artifact.where()).c_str(), growth * weights >> 20);
    ncnn::fastFree(block);
}

}  // namespace

struct Engine::Net {
    // Declared first, so that it outlives the layers that look at it.
    std::atomic<bool> cancelled{false};
#if NCNN_VULKAN
    std::unique_ptr<PipelineCache> shaders;
#endif
    BestFit memory;
    ncnn::Net net;
    std::string arithmetic, device;
    ncnn::Mat frames[2], output;
    std::vector<std::string> encoded_names; // of the encoder's half; empty where there are no halves
    std::vector<ncnn::Mat> encoded;

    void check(int code) const {
        if (code == 0)
            return;
        if (cancelled)
            fail(IFRNET_CANCELLED, "cancelled by ifrnet_cancel");
        if (code == -100)
            fail(IFRNET_MEMORY, "not enough memory on %s for frames of %dx%d: use a smaller size", device.c_str(),
                 frames[0].w, frames[0].h);
        fail(IFRNET_BACKEND, "ncnn failed with code %d on %s", code, device.c_str());
    }

    void give_frames(ncnn::Extractor &extractor) const {
        for (int i = 0; i < 2; i++)
            check(extractor.input(INPUTS[i], frames[i]));
    }

    void encode() {
        ncnn::Extractor extractor = net.create_extractor();
        extractor.set_light_mode(false); // or a blob would be gone that another one is computed from
        give_frames(extractor);
        encoded.resize(encoded_names.size());
        for (size_t i = 0; i < encoded.size(); i++)
            check(extractor.extract(encoded_names[i].c_str(), encoded[i]));
    }
};

Engine::Engine(const Artifact &artifact, const Settings &settings) : net_(new Net) {
    ncnn::Option &option = net_->net.opt;
    const int gpu = settings.device.kind() == "vulkan" ? std::stoi(settings.device.name.substr(7)) : NO_GPU;
    net_->device = settings.device.name;
    if (settings.threads > 0)
        option.num_threads = settings.threads;
    prepare_threads(option.num_threads);
    set_options(option, artifact.manifest, settings.float32);
    option.blob_allocator = &net_->memory;
    option.workspace_allocator = &net_->memory;
    Target target;
    target.vulkan = gpu != NO_GPU;
    target.storage = storage_of(option, gpu);
    net_->arithmetic = arithmetic_of(option, artifact.manifest.precision, target.storage);
#if NCNN_VULKAN
    option.use_vulkan_compute = target.vulkan;
    if (target.vulkan) {
        net_->net.set_vulkan_device(gpu);
        net_->shaders.reset(new PipelineCache(gpu, settings.cache));
        option.pipeline_cache = net_->shaders->get();
    }
#endif
    register_warp(net_->net, net_->cancelled);

    const std::vector<Layer> layers = layers_of(artifact, target);
    // A blob of the float32 island that came off a GPU would be taken for float16 when it is given back.
    if (!target.vulkan || target.storage == Storage::Float32)
        net_->encoded_names = encoded_blobs(layers);
    const std::string param = write_param(layers);
    const Bytes &weights = artifact.file("model.bin");
    const auto *text = reinterpret_cast<const unsigned char *>(param.data());
    const unsigned char *data = weights.data();
    check_memory(artifact, weights.size());
    if (net_->net.load_param(ncnn::DataReaderFromMemory(text, param.size())) != 0
        || net_->net.load_model(ncnn::DataReaderFromMemory(data, weights.size())) != 0)
        fail(IFRNET_BACKEND, "ncnn cannot load %s on %s: export it again with this version",
             one_line(artifact.where()).c_str(), settings.device.name.c_str());
#if NCNN_VULKAN
    if (net_->shaders)
        net_->shaders->save();
#endif
    for (ncnn::Mat &frame : net_->frames)
        frame.create(artifact.manifest.size.width, artifact.manifest.size.height, 3);
    if (net_->frames[0].empty() || net_->frames[1].empty())
        fail(IFRNET_MEMORY, "not enough memory for two frames of %dx%d", artifact.manifest.size.width,
             artifact.manifest.size.height);
}

Engine::~Engine() = default;

const std::string &Engine::arithmetic() const { return net_->arithmetic; }

int Engine::threads() const { return net_->net.opt.num_threads; }

float *Engine::input(int index) { return static_cast<float *>(net_->frames[index].data); }

size_t Engine::plane_stride() const { return net_->frames[0].cstep; }

void Engine::begin(bool several) {
    net_->encoded.clear();
    if (several && !net_->encoded_names.empty())
        net_->encode();
}

const float *Engine::frame(float t) {
    if (net_->cancelled)
        net_->check(CANCELLED);
    ncnn::Mat step(1, 1, 1);
    if (step.empty())
        net_->check(-100);
    step[0] = t;
    ncnn::Extractor extractor = net_->net.create_extractor();
    if (net_->encoded.empty())
        net_->give_frames(extractor);
    for (size_t i = 0; i < net_->encoded.size(); i++)
        net_->check(extractor.input(net_->encoded_names[i].c_str(), net_->encoded[i]));
    net_->check(extractor.input(INPUTS[2], step));
    net_->check(extractor.extract(OUTPUT, net_->output));

    const ncnn::Mat &frame = net_->frames[0], &output = net_->output;
    if (output.w != frame.w || output.h != frame.h || output.c != 3 || output.elemsize != sizeof(float)
        || output.cstep != frame.cstep)
        fail(IFRNET_BACKEND, "ncnn gave %dx%dx%d on %s; expected %dx%dx3: the artifact is not what its manifest says; "
             "export it again", output.w, output.h, output.c, net_->device.c_str(), frame.w, frame.h);
    double sum = 0.0; // of values in [0, 1]: finite if all of them are
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < output.h; y++) {
            const float *row = output.channel(c).row(y);
            float part = 0.0f;
            for (int x = 0; x < output.w; x++)
                part += row[x];
            sum += static_cast<double>(part);
        }
    if (!std::isfinite(sum))
        fail(IFRNET_BACKEND, "ncnn gave values that are not finite on %s (%s): use another device or precision; "
             "ifrnet verify tells which are right", net_->device.c_str(), net_->arithmetic.c_str());
    return static_cast<const float *>(output.data);
}

void Engine::cancel() { net_->cancelled = true; }

void Engine::resume() { net_->cancelled = false; }

}  // namespace ifrnet
