#include "core/bundle.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "bundle_folder.h"
#include "core/error.h"

using edge_seg::Bundle;
using edge_seg::BundleFolder;
using edge_seg::Error;
using edge_seg::Json;
using edge_seg::open_bundle;

namespace {

// The code with which opening fails; "" when it doesn't. The message names what is wrong.
std::string refusal(const std::string& path, const std::string& named = "") {
    try {
        open_bundle(path);
        return "";
    } catch (const Error& problem) {
        CAPTURE(problem.what());
        CHECK(std::string(problem.what()).find(named) != std::string::npos);
        return problem.code;
    }
}

}  // namespace

TEST_CASE("a good bundle is read") {
    const BundleFolder folder;
    const Bundle bundle = open_bundle(folder.path());
    CHECK(bundle.manifest.name == "test");
    CHECK(bundle.manifest.preprocess.height == 32);
    CHECK(bundle.manifest.preprocess.width == 64);
    CHECK(bundle.manifest.preprocess.std[2] == 0.3);
    CHECK(bundle.manifest.graphs.at("mask").inputs.size() == 7);
    CHECK_FALSE(bundle.manifest.golden.instances.has_value());
}

TEST_CASE("fields with a default may be missing, others not") {
    BundleFolder folder;
    for (const char* field : {"/preprocess/color", "/preprocess/pad", "/postprocess/keep", "/golden/instances"}) {
        folder.remove(field);
    }
    const Bundle bundle = open_bundle(folder.path());
    CHECK(bundle.manifest.preprocess.rgb);
    CHECK(bundle.manifest.postprocess.keep == 100);
    folder.remove("/target");
    CHECK(refusal(folder.path(), "manifest.target: missing") == "manifest-invalid");
}

TEST_CASE("how proposals are made") {
    BundleFolder folder;
    const Json rules{
        {"anchor_sizes", {8, 16, 32, 64, 128}}, {"before_nms", 60}, {"nms_iou", 0.5}, {"box_weights", {10, 10, 5, 5}}};
    folder.set("/rpn", Json());
    CHECK_FALSE(open_bundle(folder.path()).manifest.rpn.has_value());
    folder.set("/rpn", rules);
    const auto found = *open_bundle(folder.path()).manifest.rpn;
    CHECK(found.anchor_sizes[4] == 128);
    CHECK(found.before_nms == 60);
    CHECK(found.nms_iou == 0.5);
    CHECK(found.box_weights[3] == 5);
    const std::pair<const char*, Json> wrong[] = {
        {"/rpn", 7},
        {"/rpn/anchor_sizes", {8, 16}},
        {"/rpn/anchor_sizes/0", 0},
        {"/rpn/before_nms", 0},
        {"/rpn/nms_iou", 1.5},
        {"/rpn/box_weights", {10, 10, 5, -5}},
        {"/rpn/other", 1},
    };
    for (const auto& [place, value] : wrong) {
        folder.set("/rpn", rules);
        folder.set(place, value);
        CHECK(refusal(folder.path(), "manifest.rpn") == "manifest-invalid");
    }
}

TEST_CASE("a version may be told, as a whole number") {
    BundleFolder folder;
    folder.set("/version", 7);
    CHECK(refusal(folder.path()) == "");
    for (const Json& wrong : {Json(-1), Json(int64_t{1} << 53), Json("1"), Json(1.5)}) {
        folder.set("/version", wrong);
        CHECK(refusal(folder.path(), "manifest.version") == "manifest-invalid");
    }
}

TEST_CASE("the size that levels go by is told or not") {
    BundleFolder folder;
    CHECK_FALSE(open_bundle(folder.path()).manifest.canonical_size.has_value());
    folder.set("/canonical_size", nullptr);
    CHECK_FALSE(open_bundle(folder.path()).manifest.canonical_size.has_value());
    folder.set("/canonical_size", 224);
    CHECK(open_bundle(folder.path()).manifest.canonical_size == 224);
}

TEST_CASE("the limits of the self-test are the manifest's, where it has any") {
    BundleFolder folder;
    CHECK(open_bundle(folder.path()).manifest.self_test.box_px == 0.1);
    folder.set("/verification",
               {{"engine", "x"}, {"self_test", {{"box_px", 2.5}, {"mask_pixels", 90}, {"least_score", 0.5}}}});
    const edge_seg::Tolerance limit = open_bundle(folder.path()).manifest.self_test;
    CHECK(limit.box_px == 2.5);
    CHECK(limit.mask_pixels == 90);
    CHECK(limit.least_score == 0.5);
    CHECK(limit.score == 1e-3);
    folder.set("/verification/self_test/box_px", "far");
    CHECK(refusal(folder.path(), "verification.self_test.box_px: expected a number") == "manifest-invalid");
}

TEST_CASE("values that can't be are refused by name") {
    const std::pair<const char*, Json> wrong[] = {
        {"/name", 5},
        {"/classes", Json::array()},
        {"/classes/0", nullptr},
        {"/category_ids", {1, 1}},
        {"/category_ids", {1}},
        {"/proposals", 0},
        {"/proposals", 1.5},
        {"/proposals", 10000000000},
        {"/random_weights", 0},
        {"/preprocess", Json::array()},
        {"/preprocess/size", {32, 33}},
        {"/preprocess/size", {32}},
        {"/preprocess/size", {0, 32}},
        {"/preprocess/color", "HSV"},
        {"/preprocess/mean", {1, 2}},
        {"/preprocess/std", {1, 1, 0}},
        {"/preprocess/pad", "0"},
        {"/preprocess/resize", "nearest"},
        {"/postprocess/keep", 0},
        {"/postprocess/nms_iou", 1.5},
        {"/postprocess/mask_threshold", -1},
        {"/graphs/mask/files", Json::object()},
        {"/graphs/detect/inputs/0/dtype", "float16"},
        {"/graphs/detect/inputs/0/shape", {1, -2}},
        {"/golden/image", "other.png"},
        {"/golden/instances", "2"},
        {"/preprocess/size", {32, 1048576}},
        {"/graphs/detect/outputs/2/shape", {1, 65536, 65536, 1}},
        {"/graphs/detect/outputs/2/shape", {1, 1e19, 1, 1}},
        {"/unknown", 1},
        {"/preprocess/unknown", 1},
        {"/source", 1},
        {"/canonical_size", 0},
        {"/canonical_size", -7},
        {"/canonical_size", 1.5},
        {"/canonical_size", "224"},
    };
    for (const auto& [field, value] : wrong) {
        CAPTURE(field);
        BundleFolder folder;
        folder.set(field, value);
        std::string named(field + 1);
        named.resize(std::min(named.find('/'), named.size()));
        CHECK(refusal(folder.path(), named) == "manifest-invalid");
    }
}

TEST_CASE("another schema is told from a damaged manifest") {
    BundleFolder folder;
    for (const Json& schema : {Json(2), Json("1"), Json(1.0), Json(true), Json(nullptr)}) {
        folder.set("/schema", schema);
        CHECK(refusal(folder.path(), "schema") == "manifest-schema");
    }
    for (const char* content : {"[1]", "1", "null"}) {
        folder.write("manifest.json", content);
        CHECK(refusal(folder.path()) == "manifest-schema");
    }
    const std::string deep(100000, '[');
    for (const std::string& content :
         {std::string(), std::string("{"), std::string("{\"schema\": NaN}"), std::string("\xff"),
          std::string("{\"schema\": 1}}"), std::string("{\"schema\": 1e999}"), deep}) {
        folder.write("manifest.json", content);
        CHECK(refusal(folder.path(), "invalid JSON") == "manifest-invalid");
    }
}

TEST_CASE("what is missing or altered is refused") {
    const BundleFolder folder;
    CHECK(refusal(folder.path() + "/none", "no such bundle") == "bundle-missing");
    CHECK(refusal(folder.path() + "/manifest.json", "a file") == "bundle-missing");
    CHECK(refusal(folder.path() + "/golden", "holds no manifest.json") == "bundle-missing");
    folder.write("detect.nb", "other content");
    CHECK(refusal(folder.path(), "detect.nb") == "hash-mismatch");
    std::filesystem::remove(folder.path() + "/detect.nb");
    CHECK(refusal(folder.path(), "detect.nb: missing") == "file-missing");
}

TEST_CASE("no file name leads out of the bundle") {
    for (const char* name : {"../x", "/etc/passwd", "a/../../x", "", "a b", "-x", ".hidden", "a\\b", "ä"}) {
        CAPTURE(name);
        BundleFolder folder;
        folder.set("/graphs/detect/files", {{name, "0"}});
        CHECK(refusal(folder.path(), "leads out of the bundle") == "manifest-invalid");
    }
    BundleFolder folder;
    std::filesystem::create_symlink("/etc/passwd", folder.path() + "/link");
    std::filesystem::create_symlink("link2", folder.path() + "/link2");
    for (const char* name : {"link", "link2"}) {
        folder.set("/graphs/mask/files", {{name, "0"}});
        CHECK(refusal(folder.path(), "leads out of the bundle") == "manifest-invalid");
    }
}
