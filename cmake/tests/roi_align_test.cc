#include "core/roi_align.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace edge_seg;

namespace {

constexpr int kHeight = 96, kWidth = 160, kCanonicalSize = 64;  // of the input

// Random maps of an image.
struct Maps {
    explicit Maps(int channels) : channels(channels) {
        std::mt19937 random(1);
        std::uniform_real_distribution<float> value(-1, 1);
        for (int i = 0; i < kLevels; ++i) {
            const int height = kHeight >> (i + kFirstLevel), width = kWidth >> (i + kFirstLevel);
            values[i].resize(static_cast<size_t>(channels * height * width));
            for (float& v : values[i]) v = value(random);
            maps[i] = {values[i].data(), height, width};
        }
    }

    int channels;
    std::array<std::vector<float>, kLevels> values;
    FeatureMaps maps;
};

// A map's value at a place: between its pixels, and around them.
float value_at(const float* map, int height, int width, float y, float x) {
    if (y < -1 || y > static_cast<float>(height) || x < -1 || x > static_cast<float>(width)) return 0;
    y = std::clamp(y, 0.0F, static_cast<float>(height - 1)), x = std::clamp(x, 0.0F, static_cast<float>(width - 1));
    const int top = static_cast<int>(y), left = static_cast<int>(x);
    const int bottom = std::min(top + 1, height - 1), right = std::min(left + 1, width - 1);
    const float down = y - static_cast<float>(top), across = x - static_cast<float>(left);
    return (1 - down) * ((1 - across) * map[top * width + left] + across * map[top * width + right]) +
           down * ((1 - across) * map[bottom * width + left] + across * map[bottom * width + right]);
}

// The rules one sample after the other: float32[C, R, R] of a box.
std::vector<float> expected(const Maps& maps, const Box& box, int resolution) {
    const int level = level_of(box, kCanonicalSize);
    const auto [values, height, width] = maps.maps[level - kFirstLevel];
    const auto stride = static_cast<float>(1 << level), bins = static_cast<float>(resolution);
    const float x0 = box[0] / stride - 0.5F, y0 = box[1] / stride - 0.5F;
    const float side_x = (box[2] / stride - 0.5F - x0) / bins, side_y = (box[3] / stride - 0.5F - y0) / bins;
    const int across = static_cast<int>(std::ceil(side_x)), down = static_cast<int>(std::ceil(side_y));
    const auto place = [](float start, float side, int bin, int sample, int samples) {
        return start + static_cast<float>(bin) * side +
               (static_cast<float>(sample) + 0.5F) * side / static_cast<float>(samples);
    };
    std::vector<float> out;
    for (int c = 0; c < maps.channels; ++c) {
        const float* map = values + c * height * width;
        for (int p = 0; p < resolution; ++p) {
            for (int q = 0; q < resolution; ++q) {
                double sum = 0;
                for (int i = 0; i < down; ++i) {
                    for (int j = 0; j < across; ++j) {
                        sum += static_cast<double>(value_at(map, height, width, place(y0, side_y, p, i, down),
                                                            place(x0, side_x, q, j, across)));
                    }
                }
                out.push_back(static_cast<float>(sum / std::max(across * down, 1)));
            }
        }
    }
    return out;
}

// The largest difference from what the rules say, over all boxes.
float difference(const std::vector<Box>& boxes, int channels, int resolution, int threads) {
    const Maps maps(channels);
    Pyramid pyramid(kCanonicalSize, threads);
    pyramid.take(maps.maps, channels);
    const size_t each = static_cast<size_t>(channels * resolution * resolution);
    std::vector<float> pooled(boxes.size() * each, std::numeric_limits<float>::quiet_NaN());
    pyramid.pool(boxes.data()->data(), boxes.size(), resolution, pooled.data());
    float most = 0;
    for (size_t n = 0; n < boxes.size(); ++n) {
        const std::vector<float> wanted = expected(maps, boxes[n], resolution);
        for (size_t i = 0; i < each; ++i) {
            const float apart = std::abs(pooled[n * each + i] - wanted[i]);
            most = apart <= most ? most : apart;  // also when it is no number
        }
    }
    return most;
}

std::vector<Box> random_boxes(int count) {
    std::mt19937 random(2);
    std::uniform_real_distribution<float> x(-30, kWidth + 30), y(-30, kHeight + 30), size(0, 6);
    std::vector<Box> boxes;
    for (int i = 0; i < count; ++i) {
        const float left = x(random), top = y(random);
        boxes.push_back({left, top, left + std::exp(size(random)), top + std::exp(size(random))});
    }
    return boxes;
}

// Samples lie where float32 puts them; between two pixels a map falls by 2.
constexpr float kNear = 1e-4F;

}  // namespace

TEST_CASE("features are the means of bilinear samples") {
    const std::vector<Box> boxes = random_boxes(60);
    for (const int channels : {1, 6, 40}) CHECK(difference(boxes, channels, 7, 1) < kNear);
    CHECK(difference(boxes, 8, 14, 1) < kNear);
    CHECK(difference(boxes, 8, 1, 1) < kNear);
    CHECK(difference(boxes, 33, 7, 3) < kNear);
}

TEST_CASE("boxes at the borders, beyond them, and larger than all") {
    const float right = kWidth, bottom = kHeight;
    const std::vector<Box> boxes = {
        {0, 0, right, bottom},
        {-50, -50, right + 50, bottom + 50},
        {-5000, -3000, 6000, 4000},
        {right - 1, bottom - 1, right, bottom},
        {right - 8, bottom - 8, right + 60, bottom + 60},
        {-90, -90, -40, -40},
        {right + 40, 0, right + 90, 50},
        {5, 5, 5.2F, 90},
        {0, 0, right, 0.01F},
        {0, 0, kCanonicalSize / 2, kCanonicalSize / 2},
        {8, 8, 8 + kCanonicalSize, 8 + kCanonicalSize},
        {0, 0, 28, 28},  // bins of exactly a pixel
    };
    CHECK(difference(boxes, 5, 7, 1) < kNear);
    CHECK(difference(boxes, 5, 14, 2) < kNear);
}

TEST_CASE("boxes without area, and what is no box, give zeros") {
    constexpr float huge = std::numeric_limits<float>::max(), inf = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    const Maps maps(4);
    Pyramid pyramid(kCanonicalSize, 1);
    pyramid.take(maps.maps, 4);
    for (const Box& box : {Box{0, 0, 0, 0}, Box{9, 9, 9, 30}, Box{40, 40, 20, 60}, Box{-huge, -huge, huge, huge},
                           Box{0, 0, huge, 1}, Box{nan, 0, 9, 9}, Box{0, 0, inf, inf}, Box{0, nan, nan, 9}}) {
        std::vector<float> pooled(4 * 49, 1);
        pyramid.pool(box.data(), 1, 7, pooled.data());
        CHECK(pooled == std::vector<float>(4 * 49, 0));
    }
}

TEST_CASE("a box is read from the level of its size") {
    const auto level = [](float width, float height, int canonical_size = 224) {
        return level_of({10, 20, 10 + width, 20 + height}, canonical_size);
    };
    CHECK(level(0, 0) == 2);
    CHECK(level(-5, 9) == 2);
    CHECK(level(111, 111) == 2);
    CHECK(level(112, 112) == 3);
    CHECK(level(56, 224) == 3);
    CHECK(level(223, 223) == 3);
    CHECK(level(224, 224) == 4);
    CHECK(level(448, 448) == 5);
    CHECK(level(1e6F, 1e6F) == 5);
    CHECK(level(3e38F, 3e38F) == 5);
    CHECK(level(112, 112, 112) == 4);
    CHECK(level(std::numeric_limits<float>::quiet_NaN(), 1) == 2);
}
