#include "engines/in_two_steps.h"

#include <doctest/doctest.h>

#include "bundle_folder.h"
#include "core/roi_align.h"
#include "engines/checks.h"

using namespace edge_seg;

namespace {

using Floats = std::vector<float>;

// What the graphs were given, and the maps that the trunk gives: all values `fill`.
struct Seen {
    Floats for_boxes, for_masks;
    int32_t channel = -1;
    float fill = 1;
    int trunks = 0;
};

// Trunk and heads of BundleFolder's three graphs.
class Graphs : public Engine {
  public:
    explicit Graphs(Seen& seen) : seen_(seen) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        if (graph == "trunk") {
            ++seen_.trunks;
            map_.assign(map_.size(), seen_.fill);
            return {{"rois", {DType::kFloat32, {6, 4}, rois_.data()}},
                    {"p2", {DType::kFloat32, {1, 4, 8, 16}, map_.data()}},
                    {"p3", {DType::kFloat32, {1, 4, 4, 8}, map_.data()}},
                    {"p4", {DType::kFloat32, {1, 4, 2, 4}, map_.data()}},
                    {"p5", {DType::kFloat32, {1, 4, 1, 2}, map_.data()}}};
        }
        const Tensor& pooled = inputs.at("pooled");
        Floats& given = graph == "box_head" ? seen_.for_boxes : seen_.for_masks;
        given.assign(pooled.floats(), pooled.floats() + pooled.count());
        if (graph == "mask_head") {
            seen_.channel = *static_cast<const int32_t*>(inputs.at("channel").data);
            return {{"masks", {DType::kFloat32, {pooled.shape[0], 28, 28}, masks_.data()}}};
        }
        CHECK(inputs.at("rois").data == rois_.data());
        return {{"boxes", {DType::kFloat32, {6, 2, 4}, boxes_.data()}},
                {"scores", {DType::kFloat32, {6, 3}, boxes_.data()}}};
    }

    Json describe() const override { return {{"name", "fake"}}; }

  private:
    Seen& seen_;
    Floats rois_{0, 0, 8, 8, 8, 8, 24, 24, 0, 0, 64, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // half have no area
    Floats map_ = Floats(4 * 8 * 16), boxes_ = Floats(6 * 2 * 4), masks_ = Floats(2 * 28 * 28);
};

Manifest three() {
    BundleFolder folder;
    folder.make_three_graphs();
    return open_bundle(folder.path()).manifest;
}

struct Steps {
    Steps() : engine(in_two_steps(checked(std::make_unique<Graphs>(seen), "fake", manifest), manifest, 2)) {}

    Tensors detect() { return engine->run("detect", {{"image", {DType::kFloat32, {1, 3, 32, 64}, image.data()}}}); }

    Tensors mask(Tensors maps) {
        maps.erase("boxes");
        maps.erase("scores");
        maps["boxes"] = {DType::kFloat32, {1, 4}, box.data()};
        maps["num"] = {DType::kInt32, {1}, &num};
        maps["channel"] = {DType::kInt32, {1}, &channel};
        return engine->run("mask", maps);
    }

    Seen seen;
    const Manifest manifest = three();
    std::unique_ptr<Engine> engine;
    Floats image = Floats(3 * 32 * 64), box{0, 0, 16, 16};
    int32_t num = 1, channel = 1;
};

}  // namespace

TEST_CASE("the heads get what lies in the boxes") {
    Steps steps;
    Floats pooled(6 * 4 * 49, 0);
    std::fill(pooled.begin(), pooled.begin() + 3 * 4 * 49, 1.0F);
    for (const float fill : {1.0F, 2.0F}) {  // the maps of the second image lie where those of the first did
        steps.seen.fill = fill;
        const Tensors found = steps.detect();
        CHECK(found.size() == 6);
        CHECK(found.at("boxes").shape == Shape{6, 2, 4});
        CHECK(found.count("rois") == 0);
        float most = 0;
        for (size_t i = 0; i < pooled.size(); ++i) {
            most = std::max(most, std::abs(steps.seen.for_boxes.at(i) - fill * pooled[i]));
        }
        CHECK(most < 1e-5F);
        const Tensors masks = steps.mask(found);
        CHECK(masks.at("masks").shape == Shape{1, 28, 28});
        CHECK(steps.seen.channel == 1);
        CHECK(steps.seen.for_masks.size() == 4 * 14 * 14);
        CHECK(steps.seen.for_masks[50] == doctest::Approx(fill));
    }
    CHECK(steps.engine->describe()["name"] == "fake");
}

TEST_CASE("masks of other maps than the last image's") {
    Steps steps;
    const Tensors found = steps.detect();
    Floats other(4 * 8 * 16, 5);
    Tensors others = found;
    for (const char* name : {"p2", "p3", "p4", "p5"}) others[name].data = other.data();
    steps.mask(others);
    CHECK(steps.seen.for_masks[50] == doctest::Approx(5));
    steps.mask(found);
    CHECK(steps.seen.for_masks[50] == doctest::Approx(1));
    CHECK(steps.seen.trunks == 1);
}

TEST_CASE("two graphs are left alone") {
    const Manifest manifest = open_bundle(BundleFolder().path()).manifest;
    Seen seen;
    auto engine = std::make_unique<Graphs>(seen);
    const Engine* before = engine.get();
    CHECK(in_two_steps(std::move(engine), manifest, 1).get() == before);
}

TEST_CASE("the null engine runs three graphs") {
    BundleFolder folder;
    folder.make_three_graphs();
    const Bundle bundle = open_bundle(folder.path());
    EngineOptions options;
    options.name = "null";
    const auto engine = open_engine(bundle, options);
    const Floats image(3 * 32 * 64);
    const Tensors found = engine->run("detect", {{"image", {DType::kFloat32, {1, 3, 32, 64}, image.data()}}});
    CHECK(found.at("boxes").floats()[2] == doctest::Approx(64 * 0.2));
    CHECK(found.at("scores").floats()[2] == 1);
}
