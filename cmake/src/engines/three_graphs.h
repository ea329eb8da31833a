// The steps `detect` and `mask` over the graphs `trunk`, `box_head` and `mask_head`, with RoIAlign in between.
#pragma once

#include "engines/pyramid_engine.h"

namespace edge_seg {

class ThreeGraphs : public PyramidEngine {
  public:
    using PyramidEngine::PyramidEngine;

  protected:
    Tensors detect(const Tensors& image) override;
    Tensors mask(const Tensors& pooled, const Tensor& channel) override;
};

}  // namespace edge_seg
