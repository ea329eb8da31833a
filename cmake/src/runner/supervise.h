// The library runs in a child process, so that its abort becomes an `error` line and an exit code.
#pragma once

#include <functional>

#include "runner/lines.h"

namespace edge_seg {

// Runs `work` in a child process and returns its exit code. `work` gets the lines to speak with; what a library prints
// on stdout meanwhile goes to stderr, or it would stand between the lines. When a signal ends the child, the last line
// is an `error` that says during what.
int supervise(bool json, const std::function<int(const Lines&)>& work);

}  // namespace edge_seg
