// All lines from `hello` to `done`.
#pragma once

#include "runner/lines.h"
#include "runner/options.h"

namespace edge_seg {

// Returns the process's exit code. Every failure becomes an `error` line.
int run(const Options& options, const Lines& lines);

// The error that tells the user of any exception; to be called in a catch block.
Error current_error();

}  // namespace edge_seg
