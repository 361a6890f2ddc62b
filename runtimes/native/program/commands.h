// The commands, each in a file of its own.
#pragma once
#include "arguments.h"

namespace program {

extern const Command VERIFY, INTERPOLATE, BENCH, DEVICES, DESCRIBE;

}  // namespace program
