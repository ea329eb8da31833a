#include "engines/pyramid_engine.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "core/phase.h"

namespace edge_seg {

Pooled::Pooled(const GraphSpec& head)
    : shape_(std::find_if(head.inputs.begin(), head.inputs.end(), [](const TensorSpec& input) {
                 return input.name == "pooled";
             })->shape) {}

Tensor Pooled::fill(Pyramid& pyramid, const float* boxes, int64_t count) {
    note_phase("reading feature maps at boxes");
    shape_[0] = count;
    values_.resize(static_cast<size_t>(count_of(shape_)));
    pyramid.pool(boxes, static_cast<size_t>(count), static_cast<int>(shape_[3]), values_.data());
    return {DType::kFloat32, shape_, values_.data()};
}

PyramidEngine::PyramidEngine(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads)
    : engine_(std::move(engine)),
      pyramid_(*manifest.canonical_size, threads),
      for_boxes_(manifest.graphs.at("box_head")),
      for_masks_(manifest.graphs.at("mask_head")) {}

Tensors PyramidEngine::run(const std::string& graph, const Tensors& inputs) {
    if (graph != "mask") return detect(inputs);
    const auto taken = [&](size_t i) { return inputs.at(kMaps[i]).data == taken_[i]; };
    if (!taken(0) || !taken(1) || !taken(2) || !taken(3)) take(inputs);
    const Tensor& boxes = inputs.at("boxes");
    return mask({{"pooled", for_masks_.fill(pyramid_, boxes.floats(), boxes.shape[0])}}, inputs.at("channel"));
}

Json PyramidEngine::describe() const {
    return engine_->describe();
}

void PyramidEngine::take(const Tensors& tensors) {
    FeatureMaps maps;
    for (size_t i = 0; i < maps.size(); ++i) {
        const Tensor& map = tensors.at(kMaps[i]);
        maps[i] = {map.floats(), static_cast<int>(map.shape[2]), static_cast<int>(map.shape[3])};
        taken_[i] = map.data;
    }
    pyramid_.take(maps, static_cast<int>(tensors.at(kMaps[0]).shape[1]));
}

}  // namespace edge_seg
