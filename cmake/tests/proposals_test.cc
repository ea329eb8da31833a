#include "core/proposals.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/exact.h"

using namespace edge_seg;

namespace {

constexpr int kSide = 64;

// Logits and deltas of all levels, of zeros.
struct Outputs {
    std::array<std::vector<float>, kProposalLevels> logits, deltas;
    std::array<LevelOutputs, kProposalLevels> levels;

    Outputs() {
        const std::array<int, kProposalLevels> sides{16, 8, 4, 2, 1};
        for (int i = 0; i < kProposalLevels; ++i) {
            logits[i].assign(kAnchors * sides[i] * sides[i], -9);
            deltas[i].assign(4 * logits[i].size(), 0);
            levels[i] = {sides[i], sides[i], logits[i].data(), deltas[i].data()};
        }
    }
};

}  // namespace

TEST_CASE("exp, sigmoid and softmax") {
    CHECK(exact_exp(0) == 1);
    CHECK(exact_exp(1) == doctest::Approx(std::exp(1.0)).epsilon(1e-11));
    CHECK(exact_exp(-1e9F) == exact_exp(-87));
    CHECK(exact_sigmoid(0) == 0.5F);
    const std::array<float, 3> logits{1, 1, -1e4F};
    std::array<float, 3> scores;
    exact_softmax(logits.data(), logits.size(), scores.data());
    CHECK(scores[0] == 0.5F);
    CHECK(scores[1] == 0.5F);
    CHECK(scores[2] < 1e-30F);
    exact_softmax(nullptr, 0, nullptr);
}

TEST_CASE("the best come first, whatever their level, and none of one level overlaps another") {
    Outputs outputs;
    outputs.logits[1][0] = 3;  // P3, first cell, the wide anchor
    outputs.logits[0][0] = 2;  // P2
    outputs.logits[0][1] = 1;  // its neighbour, which overlaps it
    ProposalRules rules;
    rules.anchor_sizes = {16, 32, 64, 128, 256};
    const std::vector<Box> found = Proposer(rules, kSide, kSide, 2).propose(outputs.levels);
    REQUIRE(found.size() == 2);
    CHECK(found[0][2] == doctest::Approx(32 * std::sqrt(2.0) / 2));
    CHECK(found[1][2] == doctest::Approx(16 * std::sqrt(2.0) / 2));
    CHECK(found[0][0] == 0);  // held to the input
}

TEST_CASE("a level without a box large enough has one without area, of logit 0") {
    Outputs outputs;
    for (int i = 0; i < kProposalLevels; ++i) {
        const size_t cells = outputs.logits[i].size() / kAnchors;
        for (size_t a = 0; a < kAnchors; ++a) {
            std::fill_n(outputs.deltas[i].begin() + (4 * a + 2) * cells, cells, -60.0F);
        }
    }
    const std::vector<Box> found = Proposer({}, kSide, kSide, 9).propose(outputs.levels);
    CHECK(found == std::vector<Box>(5, Box{}));
}
