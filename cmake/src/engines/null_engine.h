// The engine that computes nothing: what is left of an image's time is the runner's own cost.
#pragma once

#include <memory>

#include "engines/engine.h"

namespace edge_seg {

// Twin of edge_seg/runtime/engines/null.py: the same arrays at every run, boxes in a grid over the input, no score
// above zero, masks that are a disc.
std::unique_ptr<Engine> load_null_engine(const Bundle& bundle);

}  // namespace edge_seg
