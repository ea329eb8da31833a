// What runs a bundle's graphs. One file an engine; nothing outside this folder asks which one it is.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/bundle.h"
#include "core/json_fields.h"
#include "core/tensor.h"

namespace edge_seg {

using Tensors = std::map<std::string, Tensor>;

struct EngineOptions {
    std::string name;                    // "" is the manifest's
    int threads = 0;                     // 0 leaves the number to the engine
    std::string power_mode = "no-bind";  // which cores: one of kPowerModes
    bool correct_cpu = true;             // shows the library cores that it knows for twins that it doesn't know
};

constexpr const char* kPowerModes[] = {"no-bind", "high", "low", "full", "rand-high", "rand-low"};

// Not for use by several threads at once.
class Engine {
  public:
    virtual ~Engine() = default;

    // Runs a graph. What comes back belongs to the engine and is valid until the same graph runs again.
    virtual Tensors run(const std::string& graph, const Tensors& inputs) = 0;

    // What a record says of the engine: name, version, threads, and what else decides its speed.
    virtual Json describe() const = 0;
};

// Loads the bundle into an engine, with checks around every run: one that runs `detect` and `mask`, whatever the form
// of the bundle's graphs. Throws Error when there is no such engine, or the bundle isn't for this machine, engine or
// library version.
std::unique_ptr<Engine> open_engine(const Bundle& bundle, const EngineOptions& options);

// Names and versions of the inference libraries that this program was built with.
Json engine_libraries();

}  // namespace edge_seg
