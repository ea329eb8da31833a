#include "engines/in_two_steps.h"

#include "engines/convolutions.h"
#include "engines/three_graphs.h"

namespace edge_seg {

std::unique_ptr<Engine> in_two_steps(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads) {
    if (manifest.graphs.count("trunk") == 0) return engine;
    if (manifest.graphs.count("rpn") == 0) return std::make_unique<ThreeGraphs>(std::move(engine), manifest, threads);
    return std::make_unique<Convolutions>(std::move(engine), manifest, threads);
}

}  // namespace edge_seg
