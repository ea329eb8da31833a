#include "core/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edge_seg {
namespace {

constexpr float kOne = 2048;  // a weight of 1

}  // namespace

ResizePlan::ResizePlan(int source_width, int source_height, int width, int height)
    : width_(width), halved_(source_width == 2 * width && source_height == 2 * height), whole_(0) {
    if (halved_) return;
    down_ = make_axis(source_height, height, Beyond::kSplit);
    const Axis pixels = make_axis(source_width, width, Beyond::kWhole);
    while (whole_ < width && pixels.second[whole_] < source_width - 1) ++whole_;
    for (int x = 0; x < width; ++x) {
        across_.first.push_back(3 * pixels.first[x]);
        across_.second.push_back(3 * pixels.second[x]);
        across_.first_weight.insert(across_.first_weight.end(), 3, pixels.first_weight[x]);
        across_.second_weight.insert(across_.second_weight.end(), 3, pixels.second_weight[x]);
    }
}

ResizePlan::Axis ResizePlan::make_axis(int source, int target, Beyond beyond) {
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
        axis.first_weight.push_back(static_cast<int16_t>(std::nearbyint((1.0F - fraction) * kOne)));
        axis.second_weight.push_back(static_cast<int16_t>(std::nearbyint(fraction * kOne)));
    }
    return axis;
}

Resizer::Resizer(const Image& image, const ResizePlan& plan, int first_row)
    : image_(image), plan_(plan), next_(first_row), out_(size_t{3} * plan.width_) {
    if (plan_.halved_) return;
    for (auto& row : stretched_) row.resize(out_.size());
    first_.resize(out_.size() + 1);  // a byte more, because four are copied at once
    second_.resize(out_.size() + 1);
}

const uint8_t* Resizer::next_row() {
    if (plan_.halved_) {
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
    const int width = plan_.width_;
    for (int x = 0; x < width; ++x, upper += 6, lower += 6, out += 3) {
        for (int c = 0; c < 3; ++c) {
            out[c] = static_cast<uint8_t>((upper[c] + upper[c + 3] + lower[c] + lower[c + 3] + 2) >> 2);
        }
    }
}

void Resizer::blend_row() {
    const int16_t upper_weight = plan_.down_.first_weight[next_], lower_weight = plan_.down_.second_weight[next_];
    const int16_t* upper = stretched(plan_.down_.first[next_]);
    const int16_t* lower = stretched(plan_.down_.second[next_]);
    uint8_t* out = out_.data();
    // Held here, because a byte that is written might be any member's, and the loop would look again and again.
    const size_t count = out_.size();
    for (size_t i = 0; i < count; ++i) {
        out[i] = static_cast<uint8_t>(((upper_weight * upper[i] >> 16) + (lower_weight * lower[i] >> 16) + 2) >> 2);
    }
}

// The source row stretched across to the target's width. Two are held: a target row needs two neighbouring ones, and
// where the image grows, the next target row needs the same.
const int16_t* Resizer::stretched(int source_row) {
    const int slot = source_row & 1;
    int16_t* out = stretched_[slot].data();
    if (source_row_[slot] == source_row) return out;
    source_row_[slot] = source_row;
    const uint8_t* row = image_.row(source_row);
    const ResizePlan::Axis& across = plan_.across_;
    uint8_t *first = first_.data(), *second = second_.data();
    // First all neighbours are gathered, four bytes at once where the row has them, then all are weighted: the second
    // loop has nothing left that keeps a compiler from vectorising it.
    const int *first_place = across.first.data(), *second_place = across.second.data();
    const int width = plan_.width_, whole = plan_.whole_;
    int x = 0;
    for (; x < whole; ++x) {
        std::memcpy(first + 3 * x, row + first_place[x], 4);
        std::memcpy(second + 3 * x, row + second_place[x], 4);
    }
    for (; x < width; ++x) {
        std::memcpy(first + 3 * x, row + first_place[x], 3);
        std::memcpy(second + 3 * x, row + second_place[x], 3);
    }
    const int16_t *first_weight = across.first_weight.data(), *second_weight = across.second_weight.data();
    const size_t count = out_.size();
    for (size_t i = 0; i < count; ++i) {
        out[i] = static_cast<int16_t>((first[i] * first_weight[i] + second[i] * second_weight[i]) >> 4);
    }
    return out;
}

}  // namespace edge_seg
