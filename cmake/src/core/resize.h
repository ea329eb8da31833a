// Bilinear resize of uint8 images, to the last bit what OpenCV's resize(INTER_LINEAR) gives.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/image.h"

namespace edge_seg {

// The rule. A target place t lies at (t + 0.5) * source / target - 0.5 in the source, rounded to float32; its two
// neighbours have weights in whole 1/2048. Across, the weighted sum loses its 4 lowest bits; down, each row's product
// loses its 16 lowest bits, and the sum of both is rounded to a byte. Where both sides are halved exactly, a value is
// the mean of 2 x 2 instead.

// Neighbours and weights of a resize, made once for all rows.
class ResizePlan {
  public:
    ResizePlan(int source_width, int source_height, int width, int height);

  private:
    friend class Resizer;
    // Beyond the source's edge OpenCV gives all weight to the last place across, but splits it down.
    enum class Beyond { kWhole, kSplit };
    struct Axis {
        std::vector<int> first, second;  // both neighbours, held to the source
        std::vector<int16_t> first_weight, second_weight;
    };
    static Axis make_axis(int source, int target, Beyond beyond);

    int width_;
    bool halved_;
    Axis across_, down_;  // across: of each byte of a target row, the neighbours as places of bytes
    int whole_;           // target pixels of a row, from its begin, whose neighbours have a further byte behind them
};

// Gives the resized image row by row, so that it is never held as a whole.
class Resizer {
  public:
    // From the target's row `first_row` on. `image` and `plan` must outlive it.
    Resizer(const Image& image, const ResizePlan& plan, int first_row);

    // The next row, 3 * width bytes, valid until the next call. To be called for rows of the target only.
    const uint8_t* next_row();

  private:
    const int16_t* stretched(int source_row);
    void halve_row();
    void blend_row();

    const Image& image_;
    const ResizePlan& plan_;
    int next_;
    std::array<std::vector<int16_t>, 2> stretched_;
    std::array<int, 2> source_row_{-1, -1};  // which rows stretched_ holds
    std::vector<uint8_t> first_, second_;    // of each byte of a stretched row, its neighbours
    std::vector<uint8_t> out_;
};

}  // namespace edge_seg
