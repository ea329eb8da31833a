// Bilinear resize of uint8 pictures, to the last bit what OpenCV's resize(INTER_LINEAR) gives.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/image.h"

namespace edge_seg {

// Gives the resized picture row by row, top to bottom, so that it is never held as a whole.
//
// The rule. A target place t lies at (t + 0.5) * source / target - 0.5 in the source, rounded to float32; its two
// neighbours have weights in whole 1/2048. Across, the weighted sum loses its 4 lowest bits; down, each row's product
// loses its 16 lowest bits, and the sum of both is rounded to a byte. Where both sides are halved exactly, a value is
// the mean of 2 x 2 instead.
class Resizer {
  public:
    // `image` must outlive the resizer.
    Resizer(const Image& image, int width, int height);

    // The next row, 3 * width bytes, valid until the next call. To be called `height` times at most.
    const uint8_t* next_row();

  private:
    struct Axis {
        std::vector<int> first, second;  // both neighbours, held to the source
        std::vector<int> first_weight, second_weight;
    };
    // Beyond the source's edge OpenCV gives all weight to the last place across, but splits it down.
    enum class Beyond { kWhole, kSplit };

    static Axis make_axis(int source, int target, Beyond beyond);
    const int16_t* stretched(int source_row);
    void halve_row();
    void blend_row();

    const Image& image_;
    const int width_;
    const bool halved_;
    int next_ = 0;
    Axis across_, down_;
    std::array<std::vector<int16_t>, 2> stretched_;
    std::array<int, 2> source_row_{-1, -1};  // which rows stretched_ holds
    std::vector<uint8_t> out_;
};

}  // namespace edge_seg
