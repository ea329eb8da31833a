#include "core/paste.h"

#include <algorithm>
#include <cmath>

#include "core/rle.h"

namespace edge_seg {
namespace {

struct Range {
    int begin, end;
};

// NaN, which only boxes beyond float32's range lead to, becomes `low`.
float hold(float value, float low, float high) {
    return std::min(high, std::max(low, value));
}

// The pixels whose centres are in [low, high), of 0 … limit - 1; an empty range where there are none.
Range pixels(float low, float high, int limit) {
    const auto edge = [limit](float place) {
        return static_cast<int>(hold(std::ceil(place - 0.5F), 0.0F, static_cast<float>(limit)));
    };
    const int begin = edge(low);
    return {begin, std::max(begin, edge(high))};
}

// The map with a border of zeros, column by column: rows of a column lie next to each other.
std::vector<float> padded_columns(const float* map, int side) {
    const int stride = side + 2;
    std::vector<float> columns(static_cast<size_t>(stride) * stride);
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) columns[(x + 1) * stride + y + 1] = map[y * side + x];
    }
    return columns;
}

// Adds the place of a change, or takes it out again: two changes in one place cancel out.
void toggle(std::vector<int64_t>& places, int64_t place) {
    if (!places.empty() && places.back() == place) {
        places.pop_back();
    } else {
        places.push_back(place);
    }
}

}  // namespace

std::string paste(const float* map, int side, const Box& box, int width, int height, float threshold) {
    const auto [x0, y0, x1, y1] = box;
    const Range across = pixels(x0, x1, width), down = pixels(y0, y1, height);
    const auto cells = static_cast<float>(side);
    const auto top = static_cast<float>(down.begin), bottom = static_cast<float>(down.end);
    const std::vector<float> columns = padded_columns(map, side);
    const int stride = side + 2;
    std::vector<float> chain(stride);
    std::vector<int64_t> places;
    for (int x = across.begin; x < across.end; ++x) {
        const float place = (((static_cast<float>(x) + 0.5F) - x0) / (x1 - x0)) * cells - 0.5F;
        const float cell = hold(std::floor(place), -1.0F, cells - 1.0F);
        const float fraction = place - cell;
        const float* left = columns.data() + (static_cast<int>(cell) + 1) * stride;
        const float* right = left + stride;
        for (int i = 0; i < stride; ++i) chain[i] = left[i] + (right[i] - left[i]) * fraction;
        for (int i = 0; i + 1 < stride; ++i) {
            if ((chain[i] >= threshold) == (chain[i + 1] >= threshold)) continue;
            const float step = (threshold - chain[i]) / (chain[i + 1] - chain[i]);
            const float row = y0 + (((static_cast<float>(i - 1) + step) + 0.5F) / cells) * (y1 - y0);
            const float held = hold(std::ceil(row - 0.5F), top, bottom);
            toggle(places, static_cast<int64_t>(x) * height + static_cast<int64_t>(held));
        }
    }
    const int64_t size = static_cast<int64_t>(width) * height;
    // A mask that ends with the image has no run after it.
    if (!places.empty() && places.back() == size) places.pop_back();
    return encode_changes(places, size);
}

}  // namespace edge_seg
