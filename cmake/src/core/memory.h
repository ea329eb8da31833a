// How much memory a bundle needs at its peak, and whether this machine has it: known before a library is loaded. The
// figures are those of edge_seg/runtime/memory.py, where the way they were had stands, and a test compares them.
#pragma once

#include <cstdint>
#include <optional>

#include "core/bundle.h"

namespace edge_seg {

// The peak of a process that runs the bundle, whose graphs' files have so many bytes; none where it was never measured.
std::optional<uint64_t> needed_bytes(const Manifest& manifest, uint64_t model_bytes);

// What this process may still take: free memory and swap, or what its control group leaves it; none if unknown.
std::optional<uint64_t> free_bytes();

// Throws Error (memory) when the bundle needs clearly more than there is. EDGE_SEG_MEMORY_CHECK=off lets all pass.
void check_memory(const Bundle& bundle);

}  // namespace edge_seg
