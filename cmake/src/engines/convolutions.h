// The steps `detect` and `mask` over graphs of convolutions alone, with everything that decides in between.
//
// The graphs are those of edge_seg/runtime/engines/convolutions.py: `trunk`, image → P2 to P6; `rpn`, one level's map →
// its logits and deltas; `box_head`, pooled features → class logits and deltas; `mask_head`, pooled features → mask
// logits of all classes. The same logits become the same instances as in Python, to the last bit.
#pragma once

#include "core/proposals.h"
#include "engines/pyramid_engine.h"

namespace edge_seg {

class Convolutions : public PyramidEngine {
  public:
    Convolutions(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads);

  protected:
    // Gives as many rows as the manifest has proposals, as a graph of fixed shape would.
    Tensors detect(const Tensors& image) override;
    Tensors mask(const Tensors& pooled, const Tensor& channel) override;

  private:
    std::vector<Box> propose(const Tensors& maps);

    Proposer proposer_;
    int64_t proposals_, classes_;
    std::array<std::vector<float>, kProposalLevels> logits_, deltas_;  // the next level's run overwrites them
    std::vector<float> boxes_, scores_, masks_;
};

}  // namespace edge_seg
