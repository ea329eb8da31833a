// Paddle Lite through its light C++ API: one predictor a graph, over `.nb` files.
#pragma once

#include <memory>
#include <string>

#include "engines/engine.h"

namespace edge_seg {

// The version of the library that this program was linked with, as manifests name it: "2.13rc0".
std::string paddle_lite_version();

// May trust that the bundle is for this machine and version, and that every run's inputs were checked: the library
// ends the process on most of what is wrong. Throws Error when a file isn't the graph that the manifest describes.
std::unique_ptr<Engine> load_paddle_lite_engine(const Bundle& bundle, const EngineOptions& options);

}  // namespace edge_seg
