#include "core/resize.h"

#include <algorithm>
#include <cmath>

namespace edge_seg {
namespace {

constexpr float kOne = 2048;  // a weight of 1

}  // namespace

Resizer::Resizer(const Image& image, int width, int height)
    : image_(image),
      width_(width),
      halved_(image.width == 2 * width && image.height == 2 * height),
      out_(size_t{3} * width) {
    if (halved_) return;
    across_ = make_axis(image.width, width, Beyond::kWhole);
    down_ = make_axis(image.height, height, Beyond::kSplit);
    for (auto& row : stretched_) row.resize(out_.size());
}

Resizer::Axis Resizer::make_axis(int source, int target, Beyond beyond) {
    Axis axis;
    // Twice inverted, as OpenCV does it: the last bit depends on it.
    const double scale = 1.0 / (static_cast<double>(target) / source);
    for (int t = 0; t < target; ++t) {
        const auto place = static_cast<float>((t + 0.5) * scale - 0.5);
        const int before = static_cast<int>(std::floor(place));
        float fraction = place - static_cast<float>(before);
        if (beyond == Beyond::kWhole && (before < 0 || before >= source - 1)) fraction = 0;
        axis.first.push_back(std::clamp(before, 0, source - 1));
        axis.second.push_back(std::clamp(before + 1, 0, source - 1));
        // nearbyint rounds halves to even, as OpenCV does.
        axis.first_weight.push_back(static_cast<int>(std::nearbyint((1.0F - fraction) * kOne)));
        axis.second_weight.push_back(static_cast<int>(std::nearbyint(fraction * kOne)));
    }
    return axis;
}

const uint8_t* Resizer::next_row() {
    if (halved_) {
        halve_row();
    } else {
        blend_row();
    }
    ++next_;
    return out_.data();
}

void Resizer::halve_row() {
    const uint8_t* upper = image_.row(2 * next_);
    const uint8_t* lower = image_.row(2 * next_ + 1);
    uint8_t* out = out_.data();
    for (int x = 0; x < width_; ++x, upper += 6, lower += 6, out += 3) {
        for (int c = 0; c < 3; ++c) {
            out[c] = static_cast<uint8_t>((upper[c] + upper[c + 3] + lower[c] + lower[c + 3] + 2) >> 2);
        }
    }
}

void Resizer::blend_row() {
    const int upper_weight = down_.first_weight[next_], lower_weight = down_.second_weight[next_];
    const int16_t* upper = stretched(down_.first[next_]);
    const int16_t* lower = stretched(down_.second[next_]);
    for (size_t i = 0; i < out_.size(); ++i) {
        out_[i] = static_cast<uint8_t>(((upper_weight * upper[i] >> 16) + (lower_weight * lower[i] >> 16) + 2) >> 2);
    }
}

// The source row stretched across to the target's width. Two are held: a target row needs two neighbouring ones, and
// where the picture grows, the next target row needs the same.
const int16_t* Resizer::stretched(int source_row) {
    const int slot = source_row & 1;
    int16_t* out = stretched_[slot].data();
    if (source_row_[slot] == source_row) return out;
    source_row_[slot] = source_row;
    const uint8_t* row = image_.row(source_row);
    for (int x = 0; x < width_; ++x, out += 3) {
        const uint8_t* first = row + 3 * across_.first[x];
        const uint8_t* second = row + 3 * across_.second[x];
        const int first_weight = across_.first_weight[x], second_weight = across_.second_weight[x];
        for (int c = 0; c < 3; ++c) {
            out[c] = static_cast<int16_t>((first[c] * first_weight + second[c] * second_weight) >> 4);
        }
    }
    return stretched_[slot].data();
}

}  // namespace edge_seg
