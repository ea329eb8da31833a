// What is checked before a library is touched, because libraries abort the process or return garbage instead.
#pragma once

#include <memory>
#include <string>

#include "engines/engine.h"

namespace edge_seg {

// Throws Error (target-mismatch) when the bundle's graphs are for another kind of machine than `machine`, the
// operating system's name of this one ("aarch64").
void check_machine(const Manifest& manifest, const std::string& machine);

// Throws Error (version-mismatch) when the library isn't of the version that the graphs were made for.
void check_version(const Manifest& manifest, const std::string& found);

// Throws Error (manifest-invalid) unless the graphs are detect and mask, or trunk, box_head and mask_head, or these
// with rpn, with the tensors that the runner works with.
void check_graphs(const Manifest& manifest);

// Throws Error (engine-input) unless every input is there, of the right dtype and shape, not empty, and boxes finite.
void check_inputs(const std::string& graph, const GraphSpec& spec, const Tensors& inputs);

// Throws Error (engine-output) unless every output has its dtype and shape, and boxes (rois too), scores and masks are
// finite.
void check_outputs(const std::string& where, const GraphSpec& spec, const Tensors& outputs);

// An engine whose inputs and outputs are checked at every run. `manifest` must outlive it.
std::unique_ptr<Engine> checked(std::unique_ptr<Engine> engine, const std::string& name, const Manifest& manifest);

}  // namespace edge_seg
