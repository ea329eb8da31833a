#include "core/preprocess.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/resize.h"

namespace edge_seg {
namespace {

int scaled(int side, double scale, int limit) {
    return std::min(limit, std::max(1, static_cast<int>(std::floor(side * scale + 0.5))));
}

}  // namespace

Geometry letterbox(int width, int height, int input_height, int input_width) {
    const double scale = std::min(static_cast<double>(input_height) / height, static_cast<double>(input_width) / width);
    return {width, height, scaled(width, scale, input_width), scaled(height, scale, input_height)};
}

Preprocessor::Preprocessor(const PreprocessSpec& spec) : spec_(spec) {
    for (int c = 0; c < 3; ++c) {
        for (int v = 0; v < 256; ++v) table_[c][v] = static_cast<float>((v / 255.0 - spec.mean[c]) / spec.std[c]);
    }
}

Geometry Preprocessor::run(const Image& image, float* blob, Workers& workers) const {
    const Geometry geometry = letterbox(image.width, image.height, spec_.height, spec_.width);
    const int width = geometry.scaled_width, height = geometry.scaled_height;
    const size_t plane = static_cast<size_t>(spec_.height) * spec_.width;
    const auto pad = static_cast<float>(spec_.pad);
    std::optional<ResizePlan> plan;
    if (width != image.width || height != image.height) plan.emplace(image.width, image.height, width, height);
    // A band of rows for each thread
    const int bands = std::min(workers.threads(), height);
    workers.each(bands, [&](size_t band) {
        const int begin = static_cast<int>(height * band / bands), end = static_cast<int>(height * (band + 1) / bands);
        std::optional<Resizer> resizer;
        if (plan) resizer.emplace(image, *plan, begin);
        for (int y = begin; y < end; ++y) {
            float* out = blob + static_cast<size_t>(y) * spec_.width;
            normalize_row(resizer ? resizer->next_row() : image.row(y), width, out);
            for (int c = 0; c < 3; ++c) std::fill(out + c * plane + width, out + c * plane + spec_.width, pad);
        }
    });
    for (int c = 0; c < 3; ++c) {
        std::fill(blob + c * plane + static_cast<size_t>(height) * spec_.width, blob + (c + 1) * plane, pad);
    }
    return geometry;
}

void Preprocessor::normalize_row(const uint8_t* bgr, int width, float* first_plane) const {
    const size_t plane = static_cast<size_t>(spec_.height) * spec_.width;
    for (int c = 0; c < 3; ++c) {
        const uint8_t* in = bgr + (spec_.rgb ? 2 - c : c);
        const float* table = table_[c].data();
        float* out = first_plane + c * plane;
        for (int x = 0; x < width; ++x) out[x] = table[in[3 * x]];
    }
}

}  // namespace edge_seg
