#include "core/proposals.h"

#include <algorithm>
#include <cmath>

#include "core/exact.h"

namespace edge_seg {
namespace {

constexpr float kMaxScale = 4.135166556742356F;  // log(1000 / 16)
constexpr float kLeastSide = 1.0F;
constexpr std::array<double, kAnchors> kRatios{0.5, 1.0, 2.0};

Box anchor_at(double size, int anchor, int x, int y, int stride) {
    const double width = std::sqrt(size * size / kRatios[anchor]), height = width * kRatios[anchor];
    const double left = x * stride, top = y * stride;
    return {static_cast<float>(left + -width / 2), static_cast<float>(top + -height / 2),
            static_cast<float>(left + width / 2), static_cast<float>(top + height / 2)};
}

float grown(float delta) {
    return static_cast<float>(exact_exp(std::min(delta, kMaxScale)));
}

// Whether a later box overlaps one that was kept by more than `limit`.
bool overlap(const Box& a, const Box& b, float limit) {
    const float across = std::max(0.0F, std::min(a[2], b[2]) - std::max(a[0], b[0]));
    const float down = std::max(0.0F, std::min(a[3], b[3]) - std::max(a[1], b[1]));
    const float inter = across * down;
    const float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
    return inter / ((area_a + area_b) - inter) > limit;
}

}  // namespace

Proposer::Proposer(const ProposalRules& rules, int height, int width, int count)
    : rules_(rules), height_(height), width_(width), count_(count) {}

std::vector<Box> Proposer::propose(const std::array<LevelOutputs, kProposalLevels>& levels) const {
    std::vector<Candidate> candidates;
    for (int level = 0; level < kProposalLevels; ++level) take(level, levels[level], candidates);
    // Of equal scores the lower level's, then the lower number: a level's own stand in this order already.
    std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return a.score > b.score || (a.score == b.score && a.level < b.level);
    });
    const auto limit = static_cast<float>(rules_.nms_iou);
    std::array<std::vector<Box>, kProposalLevels> kept;
    std::vector<Box> proposals;
    for (const Candidate& candidate : candidates) {
        if (static_cast<int>(proposals.size()) == count_) break;
        std::vector<Box>& rivals = kept[candidate.level];
        if (std::any_of(rivals.begin(), rivals.end(),
                        [&](const Box& rival) { return overlap(candidate.box, rival, limit); })) {
            continue;
        }
        rivals.push_back(candidate.box);
        proposals.push_back(candidate.box);
    }
    return proposals;
}

void Proposer::take(int level, const LevelOutputs& outputs, std::vector<Candidate>& candidates) const {
    const int cells = outputs.height * outputs.width, stride = 4 << level;
    struct Scored {
        float score;
        int number;
    };
    std::vector<Scored> best;
    best.reserve(static_cast<size_t>(cells) * kAnchors);
    for (int cell = 0; cell < cells; ++cell) {
        for (int a = 0; a < kAnchors; ++a) best.push_back({outputs.logits[a * cells + cell], cell * kAnchors + a});
    }
    const auto better = [](const Scored& a, const Scored& b) {
        return a.score > b.score || (a.score == b.score && a.number < b.number);
    };
    if (static_cast<int>(best.size()) > rules_.before_nms) {
        std::nth_element(best.begin(), best.begin() + rules_.before_nms, best.end(), better);
        best.resize(rules_.before_nms);
    }
    std::sort(best.begin(), best.end(), better);
    const size_t before = candidates.size();
    for (const Scored& scored : best) {
        const int cell = scored.number / kAnchors, a = scored.number % kAnchors;
        const Box anchor = anchor_at(rules_.anchor_sizes[level], a, cell % outputs.width, cell / outputs.width, stride);
        const float* delta = outputs.deltas + static_cast<size_t>(4) * a * cells + cell;
        Box box;
        for (size_t axis = 0; axis < 2; ++axis) {
            const float side = anchor[axis + 2] - anchor[axis];
            const float middle = delta[axis * cells] * side + (anchor[axis] + 0.5F * side);
            const float reach = (grown(delta[(axis + 2) * cells]) * side) / 2.0F;
            const auto limit = static_cast<float>(axis == 0 ? width_ : height_);
            box[axis] = std::min(std::max(middle - reach, 0.0F), limit);
            box[axis + 2] = std::min(std::max(middle + reach, 0.0F), limit);
        }
        if (box[2] - box[0] >= kLeastSide && box[3] - box[1] >= kLeastSide) {
            candidates.push_back({scored.score, level, scored.number, box});
        }
    }
    if (candidates.size() == before) candidates.push_back({0.0F, level, 0, {}});
}

void Proposer::decode(const Box* proposals, size_t count, const float* deltas, int classes, float* boxes) const {
    std::array<float, 4> shares;
    for (size_t i = 0; i < 4; ++i) shares[i] = static_cast<float>(1.0 / rules_.box_weights[i]);
    for (size_t n = 0; n < count; ++n) {
        for (int c = 0; c < classes; ++c, deltas += 4, boxes += 4) {
            for (size_t axis = 0; axis < 2; ++axis) {
                const float side = proposals[n][axis + 2] - proposals[n][axis];
                const float middle = (deltas[axis] * shares[axis]) * side + (proposals[n][axis] + 0.5F * side);
                const float reach = (0.5F * grown(deltas[axis + 2] * shares[axis + 2])) * side;
                boxes[axis] = middle - reach;
                boxes[axis + 2] = middle + reach;
            }
        }
    }
}

}  // namespace edge_seg
