// The steps `detect` and `mask` over the graphs `trunk`, `box_head` and `mask_head`, with RoIAlign in between: so
// nothing above an engine need know in which form a bundle is.
#pragma once

#include <memory>

#include "engines/engine.h"

namespace edge_seg {

// `engine`, which runs the manifest's graphs, as one that runs `detect` and `mask`: itself unless it has the three.
// The manifest must have been checked, and outlive it. RoIAlign is shared by `threads` threads.
std::unique_ptr<Engine> in_two_steps(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads);

}  // namespace edge_seg
