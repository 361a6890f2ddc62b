// ncnn's options for an artifact: those that go with its precision, then those that it states itself.
#pragma once
#include <string>

#include "artifact.h"
#include "rewrite.h"

namespace ncnn {
class Option;
}

namespace ifrnet {

inline constexpr int NO_GPU = -1;

// Throws Error (IFRNET_ARTIFACT) where the manifest states an option that is unknown or no truth value, and
// Error (IFRNET_BACKEND) where float32 is asked for and the weights are int8.
void set_options(ncnn::Option &option, const Manifest &manifest, bool float32);

// What values between layers are stored in: by the options, where the processor or ncnn's GPU of that number has it.
Storage storage_of(const ncnn::Option &option, int gpu = NO_GPU);

// What convolutions run in there, as runtimes.backends.ncnn names it.
std::string arithmetic_of(const ncnn::Option &option, const std::string &precision, Storage storage);

}  // namespace ifrnet
