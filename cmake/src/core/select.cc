#include "core/select.h"

#include <algorithm>
#include <utility>

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

// Of the proposals begin … end - 1 those pairs that are candidates, in the order of their numbers.
std::vector<Pair> candidates_of(int begin, int end, const float* boxes, const float* scores, int classes,
                                const SelectOptions& options) {
    const auto threshold = static_cast<float>(options.score_threshold);
    std::vector<Pair> found;
    for (int r = begin; r < end; ++r) {
        const float* row = scores + static_cast<int64_t>(r) * (classes + 1);
        int any = 0;  // most proposals have none: this loop is vectorised, the next isn't
        for (int c = 0; c < classes; ++c) any |= static_cast<int>(row[c] > threshold);
        for (int c = 0; any != 0 && c < classes; ++c) {
            if (!(row[c] > threshold)) continue;
            const int64_t number = static_cast<int64_t>(r) * classes + c;
            const Box b = box_at(boxes, number);
            const bool has_area = b[0] < b[2] && b[1] < b[3];
            if (has_area && b[0] < options.width && b[1] < options.height && b[2] > 0 && b[3] > 0) {
                found.push_back({row[c], number});
            }
        }
    }
    return found;
}

std::vector<Pair> candidates(const float* boxes, const float* scores, int proposals, int classes,
                             const SelectOptions& options, Workers& workers) {
    constexpr int kWorthSharing = 1 << 14;  // pairs: fewer are looked through before another thread is awake
    const int bands = int64_t{1} * proposals * classes < kWorthSharing ? 1 : workers.threads();
    std::vector<std::vector<Pair>> parts(bands);
    workers.each(bands, [&](size_t band) {
        const int64_t begin = int64_t{1} * proposals * band / bands, end = int64_t{1} * proposals * (band + 1) / bands;
        parts[band] = candidates_of(static_cast<int>(begin), static_cast<int>(end), boxes, scores, classes, options);
    });
    std::vector<Pair> found = std::move(parts[0]);
    for (int i = 1; i < bands; ++i) found.insert(found.end(), parts[i].begin(), parts[i].end());
    std::sort(found.begin(), found.end(), better);
    return found;
}

// The boxes of a class that were kept, each coordinate in a row of its own, so that comparing with them is vectorised.
class Rivals {
  public:
    void add(const Box& box, float area) {
        for (size_t i = 0; i < 4; ++i) sides_[i].push_back(box[i]);
        area_.push_back(area);
    }

    // Whether one of them overlaps the box by more than `limit`.
    bool overlap(const Box& box, float area, float limit) const {
        constexpr size_t kBlock = 16;
        for (size_t begin = 0; begin < area_.size(); begin += kBlock) {
            const size_t end = std::min(area_.size(), begin + kBlock);
            int any = 0;
            for (size_t i = begin; i < end; ++i) {
                const float across = std::max(0.0F, std::min(sides_[2][i], box[2]) - std::max(sides_[0][i], box[0]));
                const float down = std::max(0.0F, std::min(sides_[3][i], box[3]) - std::max(sides_[1][i], box[1]));
                const float inter = across * down;
                any |= static_cast<int>(inter > limit * ((area_[i] + area) - inter));
            }
            if (any != 0) return true;
        }
        return false;
    }

  private:
    std::array<std::vector<float>, 4> sides_;
    std::vector<float> area_;
};

// The pairs that greedy NMS per class leaves, at most `keep`.
std::vector<int64_t> suppress(const std::vector<Pair>& pairs, const float* boxes, int classes,
                              const SelectOptions& options) {
    const auto limit = static_cast<float>(options.nms_iou);
    std::vector<Rivals> rivals(classes);
    std::vector<int64_t> kept;
    for (const Pair& pair : pairs) {
        const Box box = box_at(boxes, pair.number);
        const float area = (box[2] - box[0]) * (box[3] - box[1]);
        Rivals& others = rivals[pair.number % classes];
        if (others.overlap(box, area, limit)) continue;
        others.add(box, area);
        kept.push_back(pair.number);
        if (static_cast<int>(kept.size()) == options.keep) break;
    }
    return kept;
}

// Exactly `count` pairs: those kept, then the best others whatever their score or box.
void fill_up(std::vector<int64_t>& kept, size_t count, const float* scores, int proposals, int classes) {
    if (kept.size() < count) {
        // Of the best `count` at most kept.size() are kept already, so they hold all that is needed. The worst of them
        // is on top of a heap; nearly all pairs are worse than it and need one comparison.
        std::vector<Pair> best;
        int64_t number = 0;
        for (int r = 0; r < proposals; ++r) {
            const float* row = scores + static_cast<int64_t>(r) * (classes + 1);
            for (int c = 0; c < classes; ++c, ++number) {
                if (best.size() == count) {
                    if (!(row[c] > best.front().score)) continue;  // an equal one comes later, so it is worse
                    std::pop_heap(best.begin(), best.end(), better);
                    best.pop_back();
                }
                best.push_back({row[c], number});
                std::push_heap(best.begin(), best.end(), better);
            }
        }
        std::sort_heap(best.begin(), best.end(), better);
        const std::vector<int64_t> already = kept;
        for (size_t i = 0; kept.size() < count; ++i) {
            if (std::find(already.begin(), already.end(), best[i].number) == already.end()) {
                kept.push_back(best[i].number);
            }
        }
    }
    kept.resize(count);
}

}  // namespace

Detections select(const float* boxes, const float* scores, int proposals, int classes, const SelectOptions& options,
                  Workers& workers) {
    std::vector<int64_t> kept =
        suppress(candidates(boxes, scores, proposals, classes, options, workers), boxes, classes, options);
    if (options.instances) fill_up(kept, *options.instances, scores, proposals, classes);
    Detections found;
    for (const int64_t number : kept) {
        found.boxes.push_back(box_at(boxes, number));
        found.scores.push_back(score_at(scores, number, classes));
        found.classes.push_back(static_cast<int>(number % classes));
    }
    return found;
}

ImageBoxes to_image(const std::vector<Box>& boxes, const Geometry& geometry) {
    const std::array<float, 2> scale{static_cast<float>(geometry.scale_x()), static_cast<float>(geometry.scale_y())};
    const std::array<float, 2> limit{static_cast<float>(geometry.width), static_cast<float>(geometry.height)};
    ImageBoxes out;
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
