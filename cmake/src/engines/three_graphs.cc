#include "engines/three_graphs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <vector>

#include "core/phase.h"
#include "core/roi_align.h"

namespace edge_seg {
namespace {

constexpr std::array<const char*, kLevels> kMaps{"p2", "p3", "p4", "p5"};

// A head's input: the features at boxes, float32[N, C, R, R].
class Pooled {
  public:
    explicit Pooled(const GraphSpec& head) : shape_(shape_of(head)) {}

    Tensor fill(Pyramid& pyramid, const Tensor& boxes) {
        note_phase("reading feature maps at boxes");
        shape_[0] = boxes.shape[0];
        values_.resize(static_cast<size_t>(count_of(shape_)));
        pyramid.pool(boxes.floats(), static_cast<size_t>(shape_[0]), static_cast<int>(shape_[3]), values_.data());
        return {DType::kFloat32, shape_, values_.data()};
    }

  private:
    static Shape shape_of(const GraphSpec& head) {
        const auto is_pooled = [](const TensorSpec& input) { return input.name == "pooled"; };
        return std::find_if(head.inputs.begin(), head.inputs.end(), is_pooled)->shape;
    }

    Shape shape_;
    std::vector<float> values_;
};

class ThreeGraphs : public Engine {
  public:
    ThreeGraphs(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads)
        : engine_(std::move(engine)),
          pyramid_(*manifest.canonical_size, threads),
          for_boxes_(manifest.graphs.at("box_head")),
          for_masks_(manifest.graphs.at("mask_head")) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        return graph == "mask" ? mask(inputs) : detect(inputs);
    }

    Json describe() const override { return engine_->describe(); }

  private:
    Tensors detect(const Tensors& image) {
        Tensors found = engine_->run("trunk", image);
        take(found);
        const Tensor rois = found.at("rois");
        found.erase("rois");
        found.merge(engine_->run("box_head", {{"pooled", for_boxes_.fill(pyramid_, rois)}, {"rois", rois}}));
        return found;
    }

    Tensors mask(const Tensors& inputs) {
        const auto taken = [&](size_t i) { return inputs.at(kMaps[i]).data == taken_[i]; };
        if (!taken(0) || !taken(1) || !taken(2) || !taken(3)) take(inputs);
        const Tensor pooled = for_masks_.fill(pyramid_, inputs.at("boxes"));
        return engine_->run("mask_head", {{"pooled", pooled}, {"channel", inputs.at("channel")}});
    }

    // A library may put every image's maps into the same memory, so `detect` always takes them.
    void take(const Tensors& tensors) {
        FeatureMaps maps;
        for (size_t i = 0; i < maps.size(); ++i) {
            const Tensor& map = tensors.at(kMaps[i]);
            maps[i] = {map.floats(), static_cast<int>(map.shape[2]), static_cast<int>(map.shape[3])};
            taken_[i] = map.data;
        }
        pyramid_.take(maps, static_cast<int>(tensors.at(kMaps[0]).shape[1]));
    }

    std::unique_ptr<Engine> engine_;
    Pyramid pyramid_;
    std::array<const void*, kLevels> taken_{};  // the maps that the pyramid was made of
    Pooled for_boxes_, for_masks_;
};

}  // namespace

std::unique_ptr<Engine> in_two_steps(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads) {
    if (manifest.graphs.count("trunk") == 0) return engine;
    return std::make_unique<ThreeGraphs>(std::move(engine), manifest, threads);
}

}  // namespace edge_seg
