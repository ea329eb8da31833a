#include "core/select.h"

#include <algorithm>

namespace edge_seg {
namespace {

// A (proposal, class) pair. `number` is proposal * C + class: the order of pairs with equal scores.
struct Pair {
    float score;
    int64_t number;
};

bool better(const Pair& a, const Pair& b) {
    return a.score > b.score || (a.score == b.score && a.number < b.number);
}

Box box_at(const float* boxes, int64_t number) {
    const float* at = boxes + 4 * number;
    return {at[0], at[1], at[2], at[3]};
}

float score_at(const float* scores, int64_t number, int classes) {
    return scores[number / classes * (classes + 1) + number % classes];
}

std::vector<Pair> candidates(const float* boxes, const float* scores, int proposals, int classes,
                             const SelectOptions& options) {
    const auto threshold = static_cast<float>(options.score_threshold);
    std::vector<Pair> found;
    for (int r = 0; r < proposals; ++r) {
        const float* row = scores + static_cast<int64_t>(r) * (classes + 1);
        for (int c = 0; c < classes; ++c) {
            if (!(row[c] > threshold)) continue;
            const int64_t number = static_cast<int64_t>(r) * classes + c;
            const Box b = box_at(boxes, number);
            const bool has_area = b[0] < b[2] && b[1] < b[3];
            if (has_area && b[0] < options.width && b[1] < options.height && b[2] > 0 && b[3] > 0) {
                found.push_back({row[c], number});
            }
        }
    }
    std::sort(found.begin(), found.end(), better);
    return found;
}

struct Kept {
    Box box;
    float area;
};

bool overlaps(const Kept& a, const Kept& b, float limit) {
    const float across = std::max(0.0F, std::min(a.box[2], b.box[2]) - std::max(a.box[0], b.box[0]));
    const float down = std::max(0.0F, std::min(a.box[3], b.box[3]) - std::max(a.box[1], b.box[1]));
    const float inter = across * down;
    return inter > limit * ((a.area + b.area) - inter);
}

// The pairs that greedy NMS per class leaves, at most `keep`.
std::vector<int64_t> suppress(const std::vector<Pair>& pairs, const float* boxes, int classes,
                              const SelectOptions& options) {
    const auto limit = static_cast<float>(options.nms_iou);
    std::vector<std::vector<Kept>> rivals(classes);
    std::vector<int64_t> kept;
    for (const Pair& pair : pairs) {
        const Box box = box_at(boxes, pair.number);
        const Kept one{box, (box[2] - box[0]) * (box[3] - box[1])};
        auto& others = rivals[pair.number % classes];
        const auto drops = [&](const Kept& earlier) { return overlaps(earlier, one, limit); };
        if (std::any_of(others.begin(), others.end(), drops)) continue;
        others.push_back(one);
        kept.push_back(pair.number);
        if (static_cast<int>(kept.size()) == options.keep) break;
    }
    return kept;
}

// Exactly `count` pairs: those kept, then the best others whatever their score or box.
void fill_up(std::vector<int64_t>& kept, size_t count, const float* scores, int proposals, int classes) {
    if (kept.size() < count) {
        std::vector<Pair> all;
        for (int64_t n = 0; n < static_cast<int64_t>(proposals) * classes; ++n) {
            all.push_back({score_at(scores, n, classes), n});
        }
        // Of the best `count` at most kept.size() are kept already, so they hold all that is needed.
        std::partial_sort(all.begin(), all.begin() + count, all.end(), better);
        const std::vector<int64_t> already = kept;
        for (size_t i = 0; kept.size() < count; ++i) {
            if (std::find(already.begin(), already.end(), all[i].number) == already.end()) {
                kept.push_back(all[i].number);
            }
        }
    }
    kept.resize(count);
}

}  // namespace

Detections select(const float* boxes, const float* scores, int proposals, int classes, const SelectOptions& options) {
    std::vector<int64_t> kept =
        suppress(candidates(boxes, scores, proposals, classes, options), boxes, classes, options);
    if (options.instances) fill_up(kept, *options.instances, scores, proposals, classes);
    Detections found;
    for (const int64_t number : kept) {
        found.boxes.push_back(box_at(boxes, number));
        found.scores.push_back(score_at(scores, number, classes));
        found.classes.push_back(static_cast<int>(number % classes));
    }
    return found;
}

PictureBoxes to_picture(const std::vector<Box>& boxes, const Geometry& geometry) {
    const std::array<float, 2> scale{static_cast<float>(geometry.scale_x()), static_cast<float>(geometry.scale_y())};
    const std::array<float, 2> limit{static_cast<float>(geometry.width), static_cast<float>(geometry.height)};
    PictureBoxes out;
    for (const Box& box : boxes) {
        Box whole, clipped;
        for (size_t i = 0; i < 4; ++i) {
            whole[i] = box[i] / scale[i % 2];
            clipped[i] = std::min(std::max(whole[i], 0.0F), limit[i % 2]);
        }
        out.whole.push_back(whole);
        out.clipped.push_back(clipped);
    }
    return out;
}

}  // namespace edge_seg
