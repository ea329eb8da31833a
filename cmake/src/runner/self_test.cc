#include "runner/self_test.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "core/error.h"
#include "core/file.h"
#include "core/limits.h"
#include "images/read_image.h"
#include "runner/parity.h"

namespace edge_seg {
namespace {

constexpr char kRemedy[] = "copy the bundle again or convert anew";

Found read_expected(const std::string& file, const Image& image) {
    const std::vector<uint8_t> content = read_file(file, kJsonBytes);
    Found found{image.width, image.height, {}, {}, {}, {}};
    try {
        const Json golden = parse_json(content, file, "golden-invalid");
        for (const Json& item : golden.at("instances")) {
            found.boxes.push_back(item.at("box").get<Box>());
            found.scores.push_back(item.at("score").get<float>());
            found.classes.push_back(item.at("class").get<int>());
            found.codes.push_back(item.at("segmentation").at("counts").get<std::string>());
        }
    } catch (const Json::exception& problem) {
        throw Error("golden-invalid", file + ": not a list of instances: " + problem.what(), kRemedy);
    }
    return found;
}

std::string formatted(const char* form, double value) {
    char text[100];
    std::snprintf(text, sizeof text, form, value);
    return text;
}

// `scale`: where the image is larger than the network's input, an input pixel is several of its pixels.
std::vector<std::string> find_faults(const Parity& parity, const Tolerance& limit, double scale) {
    std::vector<std::string> faults;
    if (parity.share() < limit.matched) {
        faults.push_back(std::to_string(parity.matched) + " instances matched of " + std::to_string(parity.expected) +
                         " expected and " + std::to_string(parity.found) + " found");
    }
    if (parity.box_px > limit.box_px * scale) faults.push_back(formatted("a box differs by %.3f px", parity.box_px));
    if (parity.score > limit.score) faults.push_back(formatted("a score differs by %.1e", parity.score));
    if (parity.mask_iou < limit.mask_iou && parity.mask_pixels > limit.mask_pixels) {
        faults.push_back("a mask differs in " + std::to_string(parity.mask_pixels) + " pixels, IoU " +
                         formatted("%.4f", parity.mask_iou));
    }
    return faults;
}

}  // namespace

SelfTest self_test(Engine& engine, const Bundle& bundle) {
    const Manifest& manifest = bundle.manifest;
    const Image image = read_image(bundle.file(manifest.golden.image));
    const std::string file = bundle.file(manifest.golden.expected);
    const Found expected = read_expected(file, image);
    StageTimes times;
    const Found found =
        Segmenter(engine, manifest, {std::nullopt, manifest.golden.instances, std::nullopt}).run(image, times);
    Parity parity;
    try {
        parity = compare(expected, found, manifest.self_test.least_score);
    } catch (const std::invalid_argument& problem) {
        throw Error("golden-invalid", file + ": " + problem.what(), kRemedy);
    }
    const Tolerance& limit = manifest.self_test;
    const PreprocessSpec& input = manifest.preprocess;
    const double scale = std::max(
        {1.0, static_cast<double>(image.height) / input.height, static_cast<double>(image.width) / input.width});
    const std::vector<std::string> faults = find_faults(parity, limit, scale);
    const Values tolerance = {
        {"matched", limit.matched},   {"box_px", limit.box_px},           {"score", limit.score},
        {"mask_iou", limit.mask_iou}, {"mask_pixels", limit.mask_pixels}, {"least_score", limit.least_score}};
    return {{{"passed", faults.empty()},
             {"expected", parity.expected},
             {"found", parity.found},
             {"matched", parity.matched},
             {"box_px", parity.box_px},
             {"score", parity.score},
             {"mask_iou", parity.mask_iou},
             {"mask_pixels", parity.mask_pixels},
             {"tolerance", tolerance},
             {"faults", faults}},
            faults};
}

}  // namespace edge_seg
