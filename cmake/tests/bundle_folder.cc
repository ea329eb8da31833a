#include "bundle_folder.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/sha256.h"

namespace edge_seg {
namespace {

constexpr char kManifest[] = R"({
  "schema": 1, "name": "test", "model": "mask_rcnn_tiny_fpn", "recipe": "x86-fp32",
  "engine": "paddle-lite", "engine_version": "2.13rc0", "target": "x86", "precision": "fp32",
  "classes": ["circle", "square"], "category_ids": [1, 2], "proposals": 6, "random_weights": true,
  "preprocess": {"size": [32, 64], "color": "RGB", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3], "pad": 0.0,
                 "resize": "letterbox-linear"},
  "postprocess": {"score_threshold": 0.05, "nms_iou": 0.5, "keep": 5, "mask_threshold": 0.5},
  "graphs": {
    "detect": {"files": {},
      "inputs": [{"name": "image", "shape": [1, 3, 32, 64], "dtype": "float32"}],
      "outputs": [{"name": "boxes", "shape": [6, 2, 4], "dtype": "float32"},
                  {"name": "scores", "shape": [6, 3], "dtype": "float32"},
                  {"name": "p2", "shape": [1, 4, 8, 16], "dtype": "float32"},
                  {"name": "p3", "shape": [1, 4, 4, 8], "dtype": "float32"},
                  {"name": "p4", "shape": [1, 4, 2, 4], "dtype": "float32"},
                  {"name": "p5", "shape": [1, 4, 1, 2], "dtype": "float32"}]},
    "mask": {"files": {},
      "inputs": [{"name": "p2", "shape": [1, 4, 8, 16], "dtype": "float32"},
                 {"name": "p3", "shape": [1, 4, 4, 8], "dtype": "float32"},
                 {"name": "p4", "shape": [1, 4, 2, 4], "dtype": "float32"},
                 {"name": "p5", "shape": [1, 4, 1, 2], "dtype": "float32"},
                 {"name": "boxes", "shape": [-1, 4], "dtype": "float32"},
                 {"name": "num", "shape": [1], "dtype": "int32"},
                 {"name": "channel", "shape": [-1], "dtype": "int32"}],
      "outputs": [{"name": "masks", "shape": [-1, 28, 28], "dtype": "float32"}]}},
  "golden": {"files": {}, "image": "golden/image.png", "expected": "golden/expected.json", "instances": null},
  "source": {}, "optimizer": {}, "verification": {}
})";

constexpr char kThreeGraphs[] = R"({
  "trunk": {"files": {},
    "inputs": [{"name": "image", "shape": [1, 3, 32, 64], "dtype": "float32"}],
    "outputs": [{"name": "rois", "shape": [6, 4], "dtype": "float32"},
                {"name": "p2", "shape": [1, 4, 8, 16], "dtype": "float32"},
                {"name": "p3", "shape": [1, 4, 4, 8], "dtype": "float32"},
                {"name": "p4", "shape": [1, 4, 2, 4], "dtype": "float32"},
                {"name": "p5", "shape": [1, 4, 1, 2], "dtype": "float32"}]},
  "box_head": {"files": {},
    "inputs": [{"name": "pooled", "shape": [6, 4, 7, 7], "dtype": "float32"},
               {"name": "rois", "shape": [6, 4], "dtype": "float32"}],
    "outputs": [{"name": "boxes", "shape": [6, 2, 4], "dtype": "float32"},
                {"name": "scores", "shape": [6, 3], "dtype": "float32"}]},
  "mask_head": {"files": {},
    "inputs": [{"name": "pooled", "shape": [-1, 4, 14, 14], "dtype": "float32"},
               {"name": "channel", "shape": [-1], "dtype": "int32"}],
    "outputs": [{"name": "masks", "shape": [-1, 28, 28], "dtype": "float32"}]}
})";

}  // namespace

BundleFolder::BundleFolder() : manifest_(Json::parse(kManifest)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "edge-seg-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    for (const char* name : {"golden/image.png", "golden/expected.json"}) {
        manifest_["golden"]["files"][name] = write_hashed(name);
    }
    write_graphs();
}

BundleFolder::~BundleFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

void BundleFolder::set(const std::string& pointer, const Json& value) {
    manifest_[Json::json_pointer(pointer)] = value;
    write_manifest();
}

void BundleFolder::remove(const std::string& pointer) {
    const Json::json_pointer place(pointer);
    manifest_[place.parent_pointer()].erase(place.back());
    write_manifest();
}

void BundleFolder::make_three_graphs() {
    manifest_["graphs"] = Json::parse(kThreeGraphs);
    manifest_["canonical_size"] = 16;
    write_graphs();
}

void BundleFolder::write(const std::string& name, const std::string& content) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
}

std::string BundleFolder::write_hashed(const std::string& name) const {
    write(name, "content of " + name);
    return sha256_of_file(path_ + "/" + name);
}

void BundleFolder::write_graphs() {
    for (auto& [name, graph] : manifest_["graphs"].items()) graph["files"][name + ".nb"] = write_hashed(name + ".nb");
    write_manifest();
}

void BundleFolder::write_manifest() const {
    write("manifest.json", manifest_.dump());
}

}  // namespace edge_seg
