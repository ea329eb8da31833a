#include "engines/checks.h"

#include <doctest/doctest.h>

#include <limits>

#include "bundle_folder.h"
#include "core/error.h"

using namespace edge_seg;

namespace {

template <typename Function>
std::string refusal(const Function& function) {
    try {
        function();
        return "";
    } catch (const Error& problem) {
        return problem.code;
    }
}

Manifest manifest_with(const std::string& pointer, const Json& value, bool three = false) {
    BundleFolder folder;
    if (three) folder.make_three_graphs();
    folder.set(pointer, value);
    return open_bundle(folder.path()).manifest;
}

const Manifest& good() {
    static const Manifest manifest = open_bundle(BundleFolder().path()).manifest;
    return manifest;
}

// The mask graph's inputs for two boxes.
struct MaskInputs {
    std::vector<float> feature = std::vector<float>(4 * 8 * 16);
    std::vector<float> boxes{0, 0, 1, 1, 2, 2, 3, 3};
    std::vector<int32_t> channel{0, 2};
    int32_t num = 2;
    Tensors tensors{{"p2", {DType::kFloat32, {1, 4, 8, 16}, feature.data()}},
                    {"p3", {DType::kFloat32, {1, 4, 4, 8}, feature.data()}},
                    {"p4", {DType::kFloat32, {1, 4, 2, 4}, feature.data()}},
                    {"p5", {DType::kFloat32, {1, 4, 1, 2}, feature.data()}},
                    {"boxes", {DType::kFloat32, {2, 4}, boxes.data()}},
                    {"num", {DType::kInt32, {1}, &num}},
                    {"channel", {DType::kInt32, {2}, channel.data()}}};

    std::string check() const {
        return refusal([this] { check_inputs("mask", good().graphs.at("mask"), tensors); });
    }
};

}  // namespace

TEST_CASE("a bundle runs on the machine that it is for") {
    const auto on = [](const std::string& target, const std::string& machine) {
        const Manifest manifest = manifest_with("/target", target);
        return refusal([&] { check_machine(manifest, machine); });
    };
    CHECK(on("arm", "aarch64") == "");
    CHECK(on("arm", "armv7l") == "");
    CHECK(on("x86", "x86_64") == "");
    CHECK(on("arm", "x86_64") == "target-mismatch");
    CHECK(on("x86", "aarch64") == "target-mismatch");
    CHECK(on("gpu", "x86_64") == "target-mismatch");
}

TEST_CASE("the library's version is the bundle's") {
    CHECK(refusal([] { check_version(good(), "2.13rc0"); }) == "");
    CHECK(refusal([] { check_version(good(), "2.12"); }) == "version-mismatch");
}

TEST_CASE("graphs have the tensors that the runner works with") {
    CHECK(refusal([] { check_graphs(good()); }) == "");
    const std::pair<const char*, Json> wrong[] = {
        {"/graphs/detect/inputs/0/name", "x"},         {"/graphs/detect/inputs/0/shape", {1, 3, 64, 64}},
        {"/graphs/detect/outputs/0/shape", {6, 3, 4}}, {"/graphs/detect/outputs/1/dtype", "int32"},
        {"/graphs/detect/outputs/1/name", "boxes"},    {"/graphs/mask/inputs/4/shape", {5, 4}},
        {"/graphs/mask/inputs/5/dtype", "int64"},      {"/graphs/mask/outputs", Json::array()},
    };
    for (const auto& [place, value] : wrong) {
        CAPTURE(place);
        const Manifest manifest = manifest_with(place, value);
        CHECK(refusal([&manifest] { check_graphs(manifest); }) == "manifest-invalid");
    }
    Manifest manifest = good();
    manifest.graphs.erase("mask");
    CHECK(refusal([&manifest] { check_graphs(manifest); }) == "manifest-invalid");
}

TEST_CASE("three graphs fit together") {
    const auto check = [](const char* place, const Json& value) {
        const Manifest manifest = manifest_with(place, value, true);
        return refusal([&manifest] { check_graphs(manifest); });
    };
    CHECK(check("/canonical_size", 224) == "");
    CHECK(check("/graphs/box_head/inputs/0/shape", {6, 4, 5, 5}) == "");
    const std::pair<const char*, Json> wrong[] = {
        {"/canonical_size", nullptr},
        {"/proposals", 7},
        {"/graphs/trunk/inputs/0/shape", {1, 3, 64, 64}},
        {"/graphs/trunk/outputs/0/name", "boxes"},
        {"/graphs/trunk/outputs/0/shape", {-1, 4}},
        {"/graphs/trunk/outputs/1/shape", {1, -1, 8, 16}},
        {"/graphs/trunk/outputs/2/shape", {1, 5, 4, 8}},
        {"/graphs/trunk/outputs/2/shape", {1, 4, 8, 16}},
        {"/graphs/box_head/inputs/0/shape", {6, 5, 7, 7}},
        {"/graphs/box_head/inputs/0/shape", {6, 4, 7, 6}},
        {"/graphs/box_head/inputs/0/shape", {6, 4, -1, -1}},
        {"/graphs/box_head/inputs/1/shape", {6, 5}},
        {"/graphs/box_head/outputs/0/shape", {6, 3, 4}},
        {"/graphs/mask_head/inputs/0/shape", {-1, 5, 14, 14}},
        {"/graphs/mask_head/inputs/0/shape", {-1, 4, 14, 7}},
        {"/graphs/mask_head/inputs/0/shape", {-1, 4}},
        {"/graphs/mask_head/inputs/1/dtype", "int64"},
        {"/graphs/mask_head/outputs", Json::array()},
    };
    for (const auto& [place, value] : wrong) {
        CAPTURE(place);
        CAPTURE(value);
        CHECK(check(place, value) == "manifest-invalid");
    }
    for (const char* head : {"box_head", "mask_head"}) {
        Manifest manifest = manifest_with("/canonical_size", 16, true);
        manifest.graphs.erase(head);
        CHECK(refusal([&manifest] { check_graphs(manifest); }) == "manifest-invalid");
    }
}

TEST_CASE("inputs are checked before a library sees them") {
    CHECK(MaskInputs().check() == "");
    MaskInputs no_boxes;
    no_boxes.tensors["boxes"].shape[0] = 0;
    CHECK(no_boxes.check() == "engine-input");
    MaskInputs wrong_type;
    wrong_type.tensors["num"].dtype = DType::kInt64;
    CHECK(wrong_type.check() == "engine-input");
    MaskInputs wrong_channels;
    wrong_channels.tensors["p3"].shape[1] = 3;
    CHECK(wrong_channels.check() == "engine-input");
    MaskInputs missing;
    missing.tensors.erase("p4");
    CHECK(missing.check() == "engine-input");
    MaskInputs too_many;
    too_many.tensors["p6"] = too_many.tensors["p5"];
    CHECK(too_many.check() == "engine-input");
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        MaskInputs not_finite;
        not_finite.boxes[3] = value;
        CHECK(not_finite.check() == "engine-input");
    }
    MaskInputs wrong_count;
    wrong_count.num = 3;
    CHECK(wrong_count.check() == "engine-input");
}

TEST_CASE("outputs that are not finite are no result") {
    const GraphSpec& spec = good().graphs.at("mask");
    std::vector<float> masks(2 * 28 * 28, 0.5F);
    const auto check = [&](const Shape& shape) {
        return refusal([&] { check_outputs("test", spec, {{"masks", {DType::kFloat32, shape, masks.data()}}}); });
    };
    CHECK(check({2, 28, 28}) == "");
    CHECK(check({2, 14, 28}) == "engine-output");
    CHECK(check({2, 28}) == "engine-output");
    masks[100] = std::numeric_limits<float>::quiet_NaN();
    CHECK(check({2, 28, 28}) == "engine-output");
    GraphSpec trunk;
    trunk.outputs = {{"rois", {1, 4}, DType::kFloat32}};
    std::vector<float> rois{0, 0, 1, std::numeric_limits<float>::infinity()};
    const auto check_rois = [&] { check_outputs("test", trunk, {{"rois", {DType::kFloat32, {1, 4}, rois.data()}}}); };
    CHECK(refusal(check_rois) == "engine-output");
    rois[3] = 1;
    CHECK(refusal(check_rois) == "");
}
