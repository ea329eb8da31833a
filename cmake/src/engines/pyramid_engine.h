// What the engines share that do the RoIAlign between their graphs.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "core/roi_align.h"
#include "engines/engine.h"

namespace edge_seg {

constexpr std::array<const char*, kLevels> kMaps{"p2", "p3", "p4", "p5"};

// A head's input: the features at boxes, float32[N, C, R, R].
class Pooled {
  public:
    explicit Pooled(const GraphSpec& head);

    Tensor fill(Pyramid& pyramid, const float* boxes, int64_t count);

  private:
    Shape shape_;
    std::vector<float> values_;
};

// An engine over another one, whose pyramid of maps is made once for `detect` and `mask`.
class PyramidEngine : public Engine {
  public:
    PyramidEngine(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads);

    Tensors run(const std::string& graph, const Tensors& inputs) override;

    Json describe() const override;

  protected:
    virtual Tensors detect(const Tensors& image) = 0;
    virtual Tensors mask(const Tensors& pooled, const Tensor& channel) = 0;

    // Makes the pyramid of the maps in `tensors`. A library may put every image's maps into the same memory, so
    // `detect` always does.
    void take(const Tensors& tensors);
    Tensor pool_for_boxes(const float* boxes, int64_t count) { return for_boxes_.fill(pyramid_, boxes, count); }

    std::unique_ptr<Engine> engine_;

  private:
    Pyramid pyramid_;
    std::array<const void*, kLevels> taken_{};  // the maps that the pyramid was made of
    Pooled for_boxes_, for_masks_;
};

}  // namespace edge_seg
