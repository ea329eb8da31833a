#include "core/phase.h"

#include <cstring>

namespace edge_seg {
namespace {

char* g_memory = nullptr;

}  // namespace

void set_phase_memory(char* memory) {
    g_memory = memory;
}

void note_phase(const char* text) {
    if (g_memory != nullptr) std::strncpy(g_memory, text, kPhaseSize - 1);
}

}  // namespace edge_seg
