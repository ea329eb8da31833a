// What the program is doing, noted where another process can read it: the last words if a library ends this one.
#pragma once

namespace edge_seg {

constexpr int kPhaseSize = 256;

// Where note_phase writes, `kPhaseSize` bytes that outlive this process; null (nothing is noted) until it is set.
void set_phase_memory(char* memory);

// "loading detect.nb". A copy of a few bytes, no system call: it may be called for every image.
void note_phase(const char* text);

}  // namespace edge_seg
