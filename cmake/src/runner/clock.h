// The clock of all measurements: never set back, nanoseconds.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace edge_seg {

inline int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// CPU time of this process, of all its threads: against the clock's, it shows whether others took the cores.
inline int64_t cpu_ns() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

}  // namespace edge_seg
