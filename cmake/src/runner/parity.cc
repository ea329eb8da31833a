#include "runner/parity.h"

#include <algorithm>
#include <cmath>

#include "core/rle.h"

namespace edge_seg {
namespace {

constexpr double kLeastOverlap = 0.5;

double area_of(const Box& box) {
    return static_cast<double>(box[2] - box[0]) * static_cast<double>(box[3] - box[1]);
}

float difference_of(const Box& a, const Box& b) {
    float most = 0;
    for (size_t i = 0; i < 4; ++i) most = std::max(most, std::abs(a[i] - b[i]));
    return most;
}

// Two boxes without area that lie on each other have 1.
double iou_of(const Box& a, const Box& b) {
    const auto side = [&](size_t axis) {
        return static_cast<double>(std::max(0.0F, std::min(a[axis + 2], b[axis + 2]) - std::max(a[axis], b[axis])));
    };
    const double inter = side(0) * side(1), either = area_of(a) + area_of(b) - inter;
    if (either > 0) return inter / std::max(either, 1e-12);
    return difference_of(a, b) <= 0.5F ? 1 : 0;
}

// The free instance of this one's class that overlaps it most; -1 when none does enough.
int partner_of(const Found& expected, size_t row, const Found& found, const std::vector<bool>& taken) {
    int best = -1;
    double most = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        if (taken[i] || found.classes[i] != expected.classes[row]) continue;
        const double iou = iou_of(expected.boxes[row], found.boxes[i]);
        if (iou > most) best = static_cast<int>(i), most = iou;
    }
    return most >= kLeastOverlap ? best : -1;
}

}  // namespace

double Parity::share() const {
    const int larger = std::max(expected, found);
    return larger > 0 ? static_cast<double>(matched) / larger : 1;
}

Parity compare(const Found& expected, const Found& found, double least_score) {
    const int64_t size = static_cast<int64_t>(found.width) * found.height;
    Parity parity;
    std::vector<bool> taken(found.size());
    for (size_t row = 0; row < expected.size(); ++row) {
        const int partner = partner_of(expected, row, found, taken);
        const bool sure = expected.scores[row] >= least_score || (partner >= 0 && found.scores[partner] >= least_score);
        parity.expected += sure;
        if (partner < 0) continue;
        taken[partner] = true;
        if (!sure) continue;
        ++parity.matched;
        const float box = difference_of(expected.boxes[row], found.boxes[partner]);
        parity.box_px = std::max(parity.box_px, static_cast<double>(box));
        const float score = std::abs(expected.scores[row] - found.scores[partner]);
        parity.score = std::max(parity.score, static_cast<double>(score));
        const Overlap masks =
            overlap_of(decode_runs(expected.codes[row], size), decode_runs(found.codes[partner], size));
        const double iou = masks.either > 0 ? static_cast<double>(masks.both) / static_cast<double>(masks.either) : 1;
        parity.mask_iou = std::min(parity.mask_iou, iou);
        parity.mask_pixels = std::max(parity.mask_pixels, masks.either - masks.both);
    }
    parity.found = parity.matched;
    for (size_t i = 0; i < found.size(); ++i) parity.found += !taken[i] && found.scores[i] >= least_score;
    return parity;
}

}  // namespace edge_seg
