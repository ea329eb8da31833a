// The files of a graph in a bundle.
#pragma once

#include <string>

#include "core/bundle.h"

namespace edge_seg {

// The path of the graph's file that ends with `suffix`. Throws Error (manifest-invalid) when the manifest names none.
std::string graph_file(const Bundle& bundle, const std::string& graph, const std::string& suffix);

}  // namespace edge_seg
