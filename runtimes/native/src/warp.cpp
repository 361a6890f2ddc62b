#include "warp.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "layer.h"
#include "net.h"
#include "warp_cpu.h"
#if NCNN_VULKAN
#include "command.h"
#include "gpu.h"
#include "pipeline.h"
#include "warp_shader.h"
#endif

namespace ifrnet {
namespace {

enum class Form { Grid, Pixels }; // the second input: positions from -1 to 1, or flow in pixels

#if NCNN_VULKAN
std::string replaced(std::string text, const std::string &word, const std::string &by) {
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += by.size()) text.replace(at, word.size(), by);
    return text;
}

using Words = std::vector<std::pair<const char *, const char *>>;

// The shader's text for elements of one channel or of four, and a flow that is stored in float32 or as the features are.
std::string shader_text(bool four, bool flow32) {
    const Words single = {
        {"TYPE", "sfp"}, {"REAL", "float"}, {"HALF", "afp"}, {"LOAD", "buffer_ld1"}, {"STORE", "buffer_st1"}};
    const Words packed = {
        {"TYPE", "sfpvec4"}, {"REAL", "vec4"}, {"HALF", "afpvec4"}, {"LOAD", "buffer_ld4"}, {"STORE", "buffer_st4"}};
    const Words float32 = {{"FLOW", "float"}, {"READ", "plain"}}, stored = {{"FLOW", "sfp"}, {"READ", "buffer_ld1"}};
    std::string text = WARP_SHADER;
    for (const Words &words : {four ? packed : single, flow32 ? float32 : stored})
        for (const auto &[word, by] : words) text = replaced(std::move(text), word, by);
    return text;
}

using Spirv = std::vector<uint32_t>;

// Compiled once in a process for each device and choice of precision: a network has eight warps, and they are alike.
// Empty where it cannot be compiled.
Spirv compiled(const ncnn::VulkanDevice &device, const ncnn::Option &opt, bool four, bool flow32) {
    static std::mutex mutex;
    static std::map<std::vector<int>, Spirv> known;
    ncnn::Option options = opt;
    options.vulkan_device_index = device.info.device_index(); // what the compiler asks for the device's abilities
    const std::vector<int> key = {options.vulkan_device_index, options.use_fp16_packed, options.use_fp16_storage,
                                  options.use_fp16_arithmetic, options.use_fp16_uniform, options.use_bf16_packed,
                                  options.use_bf16_storage, options.use_int8_packed, options.use_int8_storage,
                                  options.use_int8_arithmetic, options.use_int16_packed, options.use_int16_storage,
                                  options.use_shader_local_memory, four, flow32};
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = known.find(key);
    if (found != known.end()) return found->second;
    const std::string text = shader_text(four, flow32);
    Spirv spirv;
    if (ncnn::compile_spirv_module(text.c_str(), int(text.size()), options, spirv) != 0) return {};
    return known[key] = spirv;
}

std::unique_ptr<ncnn::Pipeline> make_pipeline(const ncnn::VulkanDevice &device, const ncnn::Option &opt, Form form,
                                              bool four, bool flow32) {
    const Spirv spirv = compiled(device, opt, four, flow32);
    if (spirv.empty()) return nullptr;
    std::vector<ncnn::vk_specialization_type> constants(1);
    constants[0].i = form == Form::Pixels ? 1 : 0;
    auto pipeline = std::make_unique<ncnn::Pipeline>(&device);
    pipeline->set_optimal_local_size_xyz(8, 8, 1);
    if (pipeline->create(spirv.data(), spirv.size() * sizeof(uint32_t), constants) != 0) return nullptr;
    return pipeline;
}
#endif

// On the CPU a grid goes to ncnn's own GridSample, which is written for each processor; flow in pixels to warp_by_pixels.
// Both take float32: ncnn would round the flow together with the features where the layer said that it takes less.
class Warp : public ncnn::Layer {
public:
    Warp(Form form, const std::atomic<bool> &cancelled) : form_(form), cancelled_(cancelled) {
        one_blob_only = false;
        support_packing = true;
#if NCNN_VULKAN
        support_vulkan = support_vulkan_packing = true;
#endif
    }

    int load_param(const ncnn::ParamDict &numbers) override;
    int create_pipeline(const ncnn::Option &opt) override;
    int destroy_pipeline(const ncnn::Option &opt) override;
    int forward(const std::vector<ncnn::Mat> &in, std::vector<ncnn::Mat> &out, const ncnn::Option &opt) const override;
#if NCNN_VULKAN
    int forward(const std::vector<ncnn::VkMat> &in, std::vector<ncnn::VkMat> &out, ncnn::VkCompute &commands,
                const ncnn::Option &opt) const override;
#endif

private:
    int load_delegate(const ncnn::ParamDict &numbers);

    const Form form_;
    const std::atomic<bool> &cancelled_;
    std::unique_ptr<ncnn::Layer> delegate_; // ncnn's own, for a grid on the CPU
#if NCNN_VULKAN
    std::unique_ptr<ncnn::Pipeline> pipelines_[2][2]; // [elements of four channels][flow in float32]
#endif
};

int Warp::load_param(const ncnn::ParamDict &numbers) {
    if (form_ == Form::Grid) {
        const bool known = numbers.get(0, 1) == 1      // bilinear
                           && numbers.get(1, 1) == 2   // padding by the border
                           && numbers.get(2, 0) == 1   // align_corners
                           && numbers.get(3, 0) == 1;  // the grid is (2, h, w)
        if (!known) return -1;
    }
#if NCNN_VULKAN
    // ncnn gives the device before this call, and none to a layer that is kept on the CPU (bit 16 of its number 31).
    support_vulkan = support_vulkan_packing = vkdev != nullptr;
    if (vkdev) return 0;
#endif
    return form_ == Form::Grid ? load_delegate(numbers) : 0;
}

int Warp::load_delegate(const ncnn::ParamDict &numbers) {
    delegate_.reset(ncnn::create_layer_cpu("GridSample"));
    if (!delegate_) return -1;
    delegate_->featmask = featmask;
    const int code = delegate_->load_param(numbers);
    support_packing = delegate_->support_packing;
    support_any_packing = delegate_->support_any_packing;
    support_fp16_storage = delegate_->support_fp16_storage;
    support_bf16_storage = delegate_->support_bf16_storage;
    return code;
}

int Warp::create_pipeline(const ncnn::Option &opt) {
#if NCNN_VULKAN
    if (vkdev) {
        for (const bool four : {false, true})
            for (const bool flow32 : {false, true}) {
                pipelines_[four][flow32] = make_pipeline(*vkdev, opt, form_, four, flow32);
                if (!pipelines_[four][flow32]) return -1;
            }
        return 0;
    }
#endif
    return delegate_ ? delegate_->create_pipeline(opt) : 0;
}

int Warp::destroy_pipeline(const ncnn::Option &opt) {
#if NCNN_VULKAN
    for (auto &both : pipelines_)
        for (auto &pipeline : both) pipeline.reset();
#endif
    return delegate_ ? delegate_->destroy_pipeline(opt) : 0;
}

int Warp::forward(const std::vector<ncnn::Mat> &in, std::vector<ncnn::Mat> &out, const ncnn::Option &opt) const {
    if (cancelled_) return CANCELLED;
    if (in.size() != 2 || out.size() != 1) return -1;
    if (form_ == Form::Pixels) return warp_by_pixels(in[0], in[1], out[0], opt);
    return delegate_ ? delegate_->forward(in, out, opt) : -1;
}

#if NCNN_VULKAN
// Cancelled while commands are recorded; those that the GPU has already been given run to their end.
int Warp::forward(const std::vector<ncnn::VkMat> &in, std::vector<ncnn::VkMat> &out, ncnn::VkCompute &commands,
                  const ncnn::Option &opt) const {
    if (cancelled_) return CANCELLED;
    if (in.size() != 2 || out.size() != 1) return -1;
    const ncnn::VkMat &feature = in[0], &flow = in[1];
    const bool fits = feature.dims == 3 && flow.dims == 3 && flow.c == 2 && flow.elempack == 1 &&
                      (form_ == Form::Grid || (feature.w == flow.w && feature.h == flow.h));
    if (!fits || (feature.elempack != 1 && feature.elempack != 4)) return -1;
    ncnn::VkMat &top = out[0];
    top.create(flow.w, flow.h, feature.c, feature.elemsize, feature.elempack, opt.blob_vkallocator);
    if (top.empty()) return -100;
    const int numbers[] = {top.w,     top.h,     top.c,     int(top.cstep), int(flow.cstep),
                           feature.w, feature.h, int(feature.cstep)};
    std::vector<ncnn::vk_constant_type> constants(sizeof numbers / sizeof *numbers);
    for (size_t i = 0; i < constants.size(); i++) constants[i].i = numbers[i];
    const auto &pipeline = pipelines_[feature.elempack == 4][flow.elemsize == sizeof(float)];
    commands.record_pipeline(pipeline.get(), {feature, flow, top}, constants, top);
    return 0;
}
#endif

ncnn::Layer *create(Form form, void *cancelled) {
    return new Warp(form, *static_cast<const std::atomic<bool> *>(cancelled));
}

ncnn::Layer *create_grid(void *cancelled) { return create(Form::Grid, cancelled); }

ncnn::Layer *create_pixels(void *cancelled) { return create(Form::Pixels, cancelled); }

void destroy(ncnn::Layer *layer, void *) { delete layer; }

}  // namespace

void register_warp(ncnn::Net &net, const std::atomic<bool> &cancelled) {
    void *userdata = const_cast<std::atomic<bool> *>(&cancelled); // read only, but ncnn carries a pointer to what can change
    net.register_custom_layer("GridSample", create_grid, destroy, userdata);
    net.register_custom_layer("IfrnetWarp", create_pixels, destroy, userdata);
}

}  // namespace ifrnet
