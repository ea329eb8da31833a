// ncnn through its C++ API: one net a graph, over `.param` and `.bin` files. Built in where its development files are.
#pragma once

#include <memory>
#include <string>

#include "engines/engine.h"

namespace edge_seg {

// The version of the library that this program was linked with: "1.0.20260101".
std::string ncnn_version();

// May trust that the bundle is for this machine and that every run's inputs were checked: the library computes wrong
// values from wrong shapes without a word. Throws Error when a file isn't the graph that the manifest describes.
std::unique_ptr<Engine> load_ncnn_engine(const Bundle& bundle, const EngineOptions& options);

}  // namespace edge_seg
