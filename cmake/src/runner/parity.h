// How far two results for one image differ; twin of edge_seg/runtime/parity.py.
#pragma once

#include "runner/segmenter.h"

namespace edge_seg {

// Instances matched by class and overlap; the differences are the worst of the matched pairs.
struct Parity {
    int expected = 0, found = 0, matched = 0;
    double box_px = 0, score = 0, mask_iou = 1;
    int64_t mask_pixels = 0;

    // Matched pairs as a part of the larger result; 1 when both are empty.
    double share() const;
};

// Both are of the same image. Only instances count that score `least_score` or have a partner that does. Throws
// std::invalid_argument when a code isn't one of a mask of it.
Parity compare(const Found& expected, const Found& found, double least_score = 0);

}  // namespace edge_seg
