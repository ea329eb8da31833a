#include "runner/segmenter.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"

using namespace edge_seg;

namespace {

// Four boxes beside each other with scores from 0.9 down to 0.6.
class FourBoxes : public Engine {
  public:
    Tensors run(const std::string& graph, const Tensors& inputs) override {
        if (graph == "mask") {
            return {{"masks", {DType::kFloat32, {inputs.at("boxes").shape[0], 2, 2}, masks_.data()}}};
        }
        Tensors out = {{"boxes", {DType::kFloat32, {4, 1, 4}, boxes_.data()}},
                       {"scores", {DType::kFloat32, {4, 2}, scores_.data()}}};
        for (const char* feature : {"p2", "p3", "p4", "p5"}) out[feature] = {};
        return out;
    }
    Json describe() const override { return {}; }

  private:
    std::vector<float> boxes_{0, 0, 8, 8, 8, 0, 16, 8, 16, 0, 24, 8, 24, 0, 32, 8};
    std::vector<float> scores_{0.6F, 0.4F, 0.7F, 0.3F, 0.8F, 0.2F, 0.9F, 0.1F};
    std::vector<float> masks_ = std::vector<float>(16, 1);
};

Manifest manifest() {
    Manifest made;
    made.classes = {"thing"};
    made.preprocess.height = made.preprocess.width = 32;
    return made;
}

std::vector<float> scores_with(const SegmenterOptions& options) {
    FourBoxes engine;
    const Manifest made = manifest();
    StageTimes times;
    return Segmenter(engine, made, options).run(Image(32, 32), times).scores;
}

using Scores = std::vector<float>;

}  // namespace

TEST_CASE("threshold, at most so many, exactly so many") {
    CHECK(scores_with({}) == Scores{0.9F, 0.8F, 0.7F, 0.6F});
    CHECK(scores_with({0.75, {}, {}}) == Scores{0.9F, 0.8F});
    CHECK(scores_with({{}, {}, 1}) == Scores{0.9F});
    CHECK(scores_with({0.65, {}, 2}) == Scores{0.9F, 0.8F});
    CHECK(scores_with({{}, 3, 3}) == Scores{0.9F, 0.8F, 0.7F});
    CHECK(scores_with({1.0, 2, {}}) == Scores{0.9F, 0.8F});
    CHECK(scores_with({{}, {}, {}, 3}) == Scores{0.9F, 0.8F, 0.7F, 0.6F});
}

TEST_CASE("options out of range are refused") {
    const SegmenterOptions wrong[] = {{-0.1, {}, {}}, {1.1, {}, {}}, {{}, -1, {}}, {{}, 101, {}},
                                      {{}, {}, 0},    {{}, {}, 101}, {{}, 3, 2}};
    for (const SegmenterOptions& options : wrong) CHECK_THROWS_AS(scores_with(options), Error);
}
