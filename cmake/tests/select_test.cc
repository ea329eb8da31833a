#include "core/select.h"

#include <doctest/doctest.h>

using namespace edge_seg;

namespace {

// One class; each proposal's box and score.
Detections selected(const std::vector<Box>& boxes, const std::vector<float>& scores, const SelectOptions& options) {
    std::vector<float> rows;
    for (const float score : scores) rows.insert(rows.end(), {score, 1 - score});
    Workers alone;
    return select(boxes[0].data(), rows.data(), static_cast<int>(boxes.size()), 1, options, alone);
}

using Scores = std::vector<float>;

}  // namespace

TEST_CASE("the better of two that overlap stays") {
    CHECK(selected({{0, 0, 9, 9}, {0, 0, 9, 8}, {20, 0, 29, 9}}, {0.8F, 0.9F, 0.4F}, {}).scores == Scores{0.9F, 0.4F});
}

TEST_CASE("an overlap of exactly the limit is allowed") {
    SelectOptions options;
    options.nms_iou = 0.5;
    CHECK(selected({{0, 0, 2, 1}, {0, 0, 1, 1}}, {0.9F, 0.8F}, options).scores.size() == 2);
    options.nms_iou = 0.49;
    CHECK(selected({{0, 0, 2, 1}, {0, 0, 1, 1}}, {0.9F, 0.8F}, options).scores.size() == 1);
}

TEST_CASE("equal scores go by proposal") {
    const Detections found = selected({{4, 0, 5, 1}, {0, 0, 1, 1}, {2, 0, 3, 1}}, {0.5F, 0.5F, 0.5F}, {});
    CHECK(found.boxes == std::vector<Box>{{4, 0, 5, 1}, {0, 0, 1, 1}, {2, 0, 3, 1}});
}

TEST_CASE("boxes without area or beside the image are no candidates") {
    SelectOptions options;
    options.width = 30, options.height = 20;
    const std::vector<Box> boxes{{5, 5, 5, 9},  {6, 9, 7, 8},   {30, 0, 40, 9},
                                 {-5, 0, 0, 9}, {0, 20, 9, 29}, {0, 0, 9, 9}};
    CHECK(selected(boxes, {0.9F, 0.9F, 0.9F, 0.9F, 0.9F, 0.5F}, options).scores == Scores{0.5F});
}

TEST_CASE("exactly as many as asked for, whatever their scores") {
    const std::vector<Box> boxes{{0, 0, 9, 9}, {0, 0, 9, 8}, {20, 0, 29, 9}, {40, 0, 49, 9}, {50, 0, 50, 0}};
    const Scores scores{0.9F, 0.8F, 0.4F, 0.01F, 0.02F};
    const Scores expected{0.9F, 0.4F, 0.8F, 0.02F, 0.01F};
    for (int count = 0; count <= 5; ++count) {
        SelectOptions options;
        options.instances = count;
        CHECK(selected(boxes, scores, options).scores == Scores(expected.begin(), expected.begin() + count));
    }
}

TEST_CASE("boxes go back to the image and are clipped to it") {
    const ImageBoxes boxes = to_image({{-5, 10, 400, 200}}, letterbox(640, 320, 320, 320));
    CHECK(boxes.whole[0] == Box{-10, 20, 800, 400});
    CHECK(boxes.clipped[0] == Box{0, 20, 640, 320});
}
