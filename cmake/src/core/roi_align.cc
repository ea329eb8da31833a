#include "core/roi_align.h"

#include <algorithm>
#include <cmath>

#include "core/sum_rows.h"
#include "core/transpose.h"

namespace edge_seg {
namespace {

constexpr float kCanonicalLevel = 4, kSlack = 1e-6F;
// Of a bin that is larger, the whole map is a value among thousands outside it: read as nothing.
constexpr float kMostSamples = 1 << 16;
constexpr size_t kShare = 256;  // pixels that a thread transposes at once

// Along one axis: the pixels that a bin is summed from, `count` from `first` on, and where their weights begin.
struct Bin {
    int first = 0, count = 0;
    size_t weights = 0;
};

struct Axis {
    std::vector<Bin> bins;
    std::vector<float> weights;
    int begin = 0, end = 0;  // of the pixels of all bins
};

// The bilinear weights of a sample at `place`, each a `share` of the bin. The samples of a bin come in order.
void add_sample(float place, float share, int size, Bin& bin, std::vector<float>& weights) {
    if (!(place >= -1 && place <= static_cast<float>(size))) return;
    place = std::clamp(place, 0.0F, static_cast<float>(size - 1));
    const int pixel = static_cast<int>(place);
    const float beyond = place - static_cast<float>(pixel);
    if (bin.count == 0) bin.first = pixel;
    const int last = std::min(pixel + 1, size - 1);
    bin.count = last + 1 - bin.first;
    weights.resize(bin.weights + static_cast<size_t>(bin.count));
    float* weight = &weights[bin.weights + static_cast<size_t>(pixel - bin.first)];
    weight[0] += (1 - beyond) * share;
    if (last > pixel) weight[1] += beyond * share;
}

// The bins between `low` and `high` on a map's axis of `size` pixels. Without extent there are no samples.
void divide(float low, float high, int size, int resolution, Axis& axis) {
    axis.bins.assign(static_cast<size_t>(resolution), {});
    axis.weights.clear();
    axis.begin = size, axis.end = 0;
    const float side = (high - low) / static_cast<float>(resolution);
    const float samples = std::ceil(side);
    if (!(samples > 0 && samples <= kMostSamples)) return;
    for (int number = 0; number < resolution; ++number) {
        Bin& bin = axis.bins[static_cast<size_t>(number)];
        bin.weights = axis.weights.size();
        const float start = low + static_cast<float>(number) * side;
        for (int i = 0; i < static_cast<int>(samples); ++i) {
            const float place = start + (static_cast<float>(i) + 0.5F) * side / samples;
            add_sample(place, 1 / samples, size, bin, axis.weights);
        }
        if (bin.count == 0) continue;
        axis.begin = std::min(axis.begin, bin.first);
        axis.end = std::max(axis.end, bin.first + bin.count);
    }
}

// What one box needs, kept for the next.
struct Scratch {
    Axis across, down;
    std::vector<float> squeezed;  // [window's width, C]: the rows of one bin, summed
    std::vector<float> summed;    // [R, R, C]
};

}  // namespace

int level_of(const Box& box, int canonical_size) {
    const float width = std::max(box[2] - box[0], 0.0F), height = std::max(box[3] - box[1], 0.0F);
    const float ratio = std::sqrt(width * height) / static_cast<float>(canonical_size);
    const float level = std::floor(std::log2(ratio + kSlack) + kCanonicalLevel);
    constexpr int last = kFirstLevel + kLevels - 1;
    if (level >= last) return last;
    return level > kFirstLevel ? static_cast<int>(level) : kFirstLevel;
}

void Pyramid::take(const FeatureMaps& maps, int channels) {
    channels_ = channels;
    const auto depth = static_cast<size_t>(channels);
    for (size_t i = 0; i < maps.size(); ++i) {
        const FeatureMap& map = maps[i];
        const size_t pixels = static_cast<size_t>(map.height) * static_cast<size_t>(map.width);
        Level& level = levels_[i];
        level.height = map.height, level.width = map.width;
        level.values.resize(pixels * depth);
        workers_.each((pixels + kShare - 1) / kShare, [&](size_t share) {
            const size_t first = share * kShare;
            transpose(map.values + first, depth, std::min(kShare, pixels - first), pixels,
                      level.values.data() + first * depth, depth);
        });
    }
}

void Pyramid::pool(const float* boxes, size_t count, int resolution, float* pooled) {
    const size_t values = static_cast<size_t>(channels_) * static_cast<size_t>(resolution * resolution);
    workers_.each(count, [&](size_t i) {
        const float* box = boxes + 4 * i;
        pool_one({box[0], box[1], box[2], box[3]}, resolution, pooled + i * values);
    });
}

void Pyramid::pool_one(const Box& box, int resolution, float* pooled) const {
    thread_local Scratch scratch;
    auto& [across, down, squeezed, summed] = scratch;
    const int number = level_of(box, canonical_size_);
    const Level& level = levels_[static_cast<size_t>(number - kFirstLevel)];
    const auto stride = static_cast<float>(1 << number);
    divide(box[0] / stride - 0.5F, box[2] / stride - 0.5F, level.width, resolution, across);
    divide(box[1] / stride - 0.5F, box[3] / stride - 0.5F, level.height, resolution, down);
    const auto depth = static_cast<size_t>(channels_), cells = static_cast<size_t>(resolution * resolution);
    if (across.begin >= across.end || down.begin >= down.end) {
        std::fill(pooled, pooled + depth * cells, 0.0F);
        return;
    }
    const size_t row = static_cast<size_t>(level.width) * depth;
    squeezed.resize(static_cast<size_t>(across.end - across.begin) * depth);
    summed.resize(cells * depth);
    const float* window = level.values.data() + static_cast<size_t>(across.begin) * depth;
    float* out = summed.data();
    for (const Bin& rows : down.bins) {
        sum_rows(window + static_cast<size_t>(rows.first) * row, row, down.weights.data() + rows.weights, rows.count,
                 squeezed.size(), squeezed.data());
        for (const Bin& columns : across.bins) {
            const size_t first = static_cast<size_t>(std::max(columns.first - across.begin, 0)) * depth;
            sum_rows(squeezed.data() + first, depth, across.weights.data() + columns.weights, columns.count, depth,
                     out);
            out += depth;
        }
    }
    transpose(summed.data(), cells, depth, depth, pooled, cells);
}

}  // namespace edge_seg
