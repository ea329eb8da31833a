// Boxes and scores of the `detect` graph → the detections kept, by the rule of edge_seg/runtime/postprocess.py.
//
// R proposals, C classes, N detections; boxes are (x0, y0, x1, y1). float32 throughout, one rounding an operation.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "core/preprocess.h"
#include "core/spec.h"
#include "core/workers.h"

namespace edge_seg {

using Box = std::array<float, 4>;

// What NMS kept, best first. Boxes in input pixels, unclipped.
struct Detections {
    std::vector<Box> boxes;
    std::vector<float> scores;
    std::vector<int> classes;
};

struct SelectOptions {
    double score_threshold = 0.05;
    double nms_iou = 0.5;
    int keep = 100;
    // With a number here exactly so many come out, the best first kept ones and then others. At most R * C.
    std::optional<int> instances;
    // The scaled image's part of the input.
    float height = std::numeric_limits<float>::infinity();
    float width = std::numeric_limits<float>::infinity();
};

// `boxes` is float32[R, C, 4], `scores` float32[R, C + 1] with the background last. No NaN in either.
Detections select(const float* boxes, const float* scores, int proposals, int classes, const SelectOptions& options,
                  Workers& workers);

// Boxes in input pixels → in image pixels: as they are (masks are pasted there), and clipped (what is reported).
struct ImageBoxes {
    std::vector<Box> whole, clipped;
};
ImageBoxes to_image(const std::vector<Box>& boxes, const Geometry& geometry);

}  // namespace edge_seg
