// The clock of all measurements: never set back, nanoseconds.
#pragma once

#include <chrono>
#include <cstdint>

namespace edge_seg {

inline int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace edge_seg
