// RoIAlign over the pyramid, outside the graphs; edge_seg/runtime/roi_align.py tells the rules.
//
// C: channels of all maps; H, W: height and width of one; R: side of what is read at a box.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "core/select.h"
#include "core/workers.h"

namespace edge_seg {

constexpr int kFirstLevel = 2, kLevels = 4;

// One of P2 to P5: float32[C, H, W].
struct FeatureMap {
    const float* values = nullptr;
    int height = 0, width = 0;
};

using FeatureMaps = std::array<FeatureMap, kLevels>;

// From which of P2 to P5 a box is read: floor(4 + log2(sqrt(area) / canonical_size)), at least 2 and at most 5.
int level_of(const Box& box, int canonical_size);

// P2 to P5 of one image after the other.
class Pyramid {
  public:
    // `canonical_size`: side of a box that is read from P4, pixels of the input.
    Pyramid(int canonical_size, int threads) : canonical_size_(canonical_size), workers_(threads) {}

    // Makes an image's maps ready to be read at boxes; they are copied.
    void take(const FeatureMaps& maps, int channels);

    // Features float32[count, C, R, R] of float32[count, 4] boxes, in their order. Zeros where a box has no area.
    void pool(const float* boxes, size_t count, int resolution, float* pooled);

  private:
    struct Level {
        int height = 0, width = 0;
        std::vector<float> values;  // [H, W, C]: a window's rows are one stretch of memory, over all channels
    };

    void pool_one(const Box& box, int resolution, float* pooled) const;

    int canonical_size_;
    int channels_ = 0;
    std::array<Level, kLevels> levels_;
    Workers workers_;
};

}  // namespace edge_seg
