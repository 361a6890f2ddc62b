#include "options.h"

#include <cpu.h>
#include <gpu.h>
#include <option.h>

#include "error.h"

namespace ifrnet {

namespace {

struct Switch {
    const char *name;
    bool ncnn::Option::*member;
};

// The truth values that an artifact may state (details.options), as in runtimes/backends/ncnn.py.
constexpr Switch SWITCHES[] = {
    {"use_winograd_convolution", &ncnn::Option::use_winograd_convolution},
    {"use_winograd23_convolution", &ncnn::Option::use_winograd23_convolution},
    {"use_winograd43_convolution", &ncnn::Option::use_winograd43_convolution},
    {"use_winograd63_convolution", &ncnn::Option::use_winograd63_convolution},
    {"use_sgemm_convolution", &ncnn::Option::use_sgemm_convolution},
    {"use_packing_layout", &ncnn::Option::use_packing_layout},
    {"use_fp16_packed", &ncnn::Option::use_fp16_packed},
    {"use_fp16_storage", &ncnn::Option::use_fp16_storage},
    {"use_fp16_arithmetic", &ncnn::Option::use_fp16_arithmetic},
    {"use_bf16_packed", &ncnn::Option::use_bf16_packed},
    {"use_bf16_storage", &ncnn::Option::use_bf16_storage},
    {"use_int8_inference", &ncnn::Option::use_int8_inference},
};

void set_halves(ncnn::Option &option, bool half, bool bfloat) {
    option.use_fp16_packed = option.use_fp16_storage = half;
    option.use_fp16_arithmetic = false; // too little room; see runtimes/backends/ncnn_options.py
    option.use_bf16_packed = option.use_bf16_storage = bfloat;
}

}  // namespace

void set_options(ncnn::Option &option, const Manifest &manifest, bool float32) {
    set_halves(option, manifest.precision == "fp16", manifest.precision == "bf16");
    for (const auto &[name, value] : manifest.options.fields) {
        const Switch *found = nullptr;
        for (const Switch &item : SWITCHES)
            if (name == item.name)
                found = &item;
        if (!found || value.kind != Json::Kind::Boolean)
            fail(IFRNET_ARTIFACT, "%s asks for the ncnn option '%s', which this version does not know: update libifrnet",
                 one_line(manifest.name).c_str(), one_line(name, 40).c_str());
        if (found->member == &ncnn::Option::use_int8_inference && !value.boolean)
            fail(IFRNET_ARTIFACT, "%s states the ncnn option use_int8_inference: false, with which ncnn reads int8 weights "
                 "as float32, beyond their end; expected true or nothing: export it again",
                 one_line(manifest.name).c_str());
        option.*(found->member) = value.boolean;
    }
    if (float32 && manifest.precision == "int8")
        fail(IFRNET_BACKEND, "%s has int8 weights and cannot run in float32: export it without --int8",
             one_line(manifest.name).c_str());
    if (float32)
        set_halves(option, false, false);
}

Storage storage_of(const ncnn::Option &option, int gpu) {
    // Of CPUs only ARM's with asimdhp have kernels for half precision.
    bool half = ncnn::cpu_support_arm_asimdhp() != 0, bfloat = true;
#if NCNN_VULKAN
    if (gpu != NO_GPU) {
        const ncnn::GpuInfo &info = ncnn::get_gpu_info(gpu);
        half = info.support_fp16_storage();
        bfloat = info.support_bf16_storage();
    }
#else
    (void)gpu;
#endif
    if (option.use_bf16_storage && bfloat)
        return Storage::BFloat16;
    return option.use_fp16_storage && half ? Storage::Float16 : Storage::Float32;
}

std::string arithmetic_of(const ncnn::Option &option, const std::string &precision, Storage storage) {
    const std::string rest = storage == Storage::Float32    ? "fp32"
                             : storage == Storage::BFloat16 ? "bf16"
                             : option.use_fp16_arithmetic   ? "fp16"
                                                            : "fp16 storage";
    if (precision != "int8")
        return rest;
    return storage == Storage::Float32 ? precision : precision + " with " + rest;
}

}  // namespace ifrnet
