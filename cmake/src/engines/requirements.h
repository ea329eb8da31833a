// What a bundle needs of Paddle Lite's build and of the processor (its manifest's optimizer.requires), compared before
// a model is loaded: the library aborts on a model that it has no kernels for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "core/spec.h"

namespace edge_seg {

// Throws Error (requirement-missing) when the processor that /proc/cpuinfo describes lacks what the bundle needs.
void check_processor(const Manifest& manifest, const std::string& cpuinfo);

// Throws Error (requirement-missing) when the library wasn't built with what the bundle needs.
void check_library(const Manifest& manifest, const std::set<std::string>& built_with);

// "fp16" and "opencl", as far as the shared library of that name, which this program has loaded, holds them.
std::set<std::string> built_into(const std::string& library);

// Whether machine code for Arm multiplies and adds in fp16: kernels do, by the thousand. edge_seg/boards/elf.py looks
// for the same.
bool computes_fp16(const uint8_t* code, size_t size, bool arm64);

}  // namespace edge_seg
