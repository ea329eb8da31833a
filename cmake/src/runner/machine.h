// The machine as the operating system shows it, and what this process uses of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runner/lines.h"

namespace edge_seg {

// What the `hello` line says: runner, version, protocol, platform, machine, cpu, libraries; and the cpu as libraries
// see it, with or without cores that they don't know replaced (`correct_cpu`, engines/cpuinfo_override.h).
Values describe_runner(bool correct_cpu);

// Bytes of physical memory that this process has held at most; nothing where the system doesn't say.
std::optional<int64_t> peak_memory();

// Bytes that this process holds in huge pages; nothing where the system doesn't say.
std::optional<int64_t> huge_memory();

// Lets this process run on these cores only. Throws Error (usage) when the machine hasn't such cores.
void bind_to(const std::vector<int>& cores);

}  // namespace edge_seg
