// What the RPN and the box head give → boxes: the rules of edge_seg/runtime/proposals.py, to the last bit.
//
// A anchors a cell, C classes; boxes are (x0, y0, x1, y1), input pixels. float32, one rounding an operation.
#pragma once

#include <array>
#include <vector>

#include "core/select.h"

namespace edge_seg {

constexpr int kProposalLevels = 5, kAnchors = 3;  // P2 to P6; height / width of 1/2, 1 and 2

// One level's float32[A, H, W] logits and float32[4 A, H, W] deltas, anchor-major.
struct LevelOutputs {
    int height = 0, width = 0;
    const float* logits = nullptr;
    const float* deltas = nullptr;
};

// Proposals for inputs of `height` x `width`, both multiples of 32; at most `count` an image.
class Proposer {
  public:
    Proposer(const ProposalRules& rules, int height, int width, int count);

    // Best first, for P2 to P6 with strides 4 to 64.
    std::vector<Box> propose(const std::array<LevelOutputs, kProposalLevels>& levels) const;

    // The box head's float32[count, 4 C] deltas → float32[count, C, 4] boxes, unclipped.
    void decode(const Box* proposals, size_t count, const float* deltas, int classes, float* boxes) const;

  private:
    struct Candidate {
        float score;
        int level, number;
        Box box;
    };

    void take(int level, const LevelOutputs& outputs, std::vector<Candidate>& candidates) const;

    ProposalRules rules_;
    int height_, width_, count_;
};

}  // namespace edge_seg
