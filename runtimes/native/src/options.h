// ncnn's options for an artifact: those that go with its precision, then those that it states itself.
#pragma once
#include <string>

#include "artifact.h"

namespace ncnn {
class Option;
}

namespace ifrnet {

// Throws Error (IFRNET_ARTIFACT) where the manifest states an option that is unknown or no truth value, and
// Error (IFRNET_BACKEND) where float32 is asked for and the weights are int8.
void set_options(ncnn::Option &option, const Manifest &manifest, bool float32);

// What convolutions run in on this processor or on a GPU, as runtimes.backends.ncnn names it.
std::string arithmetic_of(const ncnn::Option &option, const std::string &precision, bool vulkan);

}  // namespace ifrnet
