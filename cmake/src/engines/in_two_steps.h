// Any form of a bundle's graphs as the steps `detect` and `mask`: nothing above an engine need know in which it is.
#pragma once

#include <memory>

#include "engines/engine.h"

namespace edge_seg {

// `engine`, which runs the manifest's graphs, as one that runs `detect` and `mask`: itself where these are its graphs.
// The manifest must have been checked, and outlive it. What is done between graphs is shared by `threads` threads.
std::unique_ptr<Engine> in_two_steps(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads);

}  // namespace edge_seg
