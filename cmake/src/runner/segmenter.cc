#include "runner/segmenter.h"

#include "core/error.h"
#include "core/paste.h"
#include "runner/clock.h"

namespace edge_seg {
namespace {

constexpr char kOutputRemedy[] = "convert the model again, and see that the library is the one that it was made for";
// Boxes that the mask graph gets in one run. Paddle Lite works through boxes one by one anyway, but transforms the
// weights of four convolutions anew when their number is another than the last time, which costs as much as four boxes
// (docs/native-speed.md). So the number is always the same, and with one, none is computed in vain.
constexpr int32_t kBoxesARun = 1;

void check(const SegmenterOptions& options, const PostprocessSpec& spec) {
    if (!(spec.mask_threshold > 0 && spec.mask_threshold < 1)) {
        throw Error("manifest-invalid",
                    "mask_threshold: " + std::to_string(spec.mask_threshold) + " is not between 0 and 1",
                    "copy the bundle again or convert anew");
    }
    if (options.score && !(*options.score >= 0 && *options.score <= 1)) {
        throw Error("usage", "score: " + std::to_string(*options.score) + " is not between 0 and 1",
                    "give a number such as 0.5", 2);
    }
    if (options.instances && !(*options.instances >= 0 && *options.instances <= spec.keep)) {
        throw Error("usage",
                    "instances: " + std::to_string(*options.instances) + " is not between 0 and " +
                        std::to_string(spec.keep) + ", the most this model keeps",
                    "convert with a larger --keep", 2);
    }
    if (options.top_k && !(*options.top_k >= 1 && *options.top_k <= spec.keep)) {
        throw Error("usage",
                    "top-k: " + std::to_string(*options.top_k) + " is not between 1 and " + std::to_string(spec.keep) +
                        ", the most this model keeps",
                    "convert with a larger --keep", 2);
    }
    if (options.top_k && options.instances && *options.top_k < *options.instances) {
        throw Error("usage",
                    "top-k: at most " + std::to_string(*options.top_k) + ", but instances: exactly " +
                        std::to_string(*options.instances),
                    "leave one of them out", 2);
    }
}

}  // namespace

Segmenter::Segmenter(Engine& engine, const Manifest& manifest, const SegmenterOptions& options)
    : engine_(engine), manifest_(manifest), preprocessor_(manifest.preprocess), workers_(options.threads) {
    check(options, manifest.postprocess);
    select_.score_threshold = options.score.value_or(manifest.postprocess.score_threshold);
    select_.nms_iou = manifest.postprocess.nms_iou;
    select_.keep = options.top_k.value_or(manifest.postprocess.keep);
    select_.instances = options.instances;
}

Found Segmenter::run(const Image& image, StageTimes& times) {
    const int64_t begin = now_ns();
    const Geometry geometry = prepare(image, blob_, times);
    Found found = finish(infer(blob_, geometry, times), times);
    times.total = now_ns() - begin;
    return found;
}

Geometry Segmenter::prepare(const Image& image, std::vector<float>& blob, StageTimes& times) const {
    const int64_t begin = now_ns();
    blob.resize(size_t{3} * manifest_.preprocess.height * manifest_.preprocess.width);
    const Geometry geometry = preprocessor_.run(image, blob.data(), workers_);
    times.pre = now_ns() - begin;
    return geometry;
}

Raw Segmenter::infer(const std::vector<float>& blob, const Geometry& geometry, StageTimes& times) {
    const int64_t begin = now_ns();
    const Shape shape{1, 3, manifest_.preprocess.height, manifest_.preprocess.width};
    const Tensors detected = engine_.run("detect", {{"image", {DType::kFloat32, shape, blob.data()}}});
    const int64_t detected_at = now_ns();
    select_.height = static_cast<float>(geometry.scaled_height);
    select_.width = static_cast<float>(geometry.scaled_width);
    Raw raw{geometry, select_from(detected.at("boxes"), detected.at("scores"))};
    const int64_t selected = now_ns();
    raw.maps = masks(detected, raw.kept, raw.side);
    times.detect = detected_at - begin;
    times.nms = selected - detected_at;
    times.mask = now_ns() - selected;
    return raw;
}

Found Segmenter::finish(const Raw& raw, StageTimes& times) const {
    const int64_t begin = now_ns();
    const auto& [geometry, kept, maps, side] = raw;
    ImageBoxes boxes = to_image(kept.boxes, geometry);
    Found found{geometry.width, geometry.height, std::move(boxes.clipped), kept.scores, kept.classes, {}};
    found.codes.resize(kept.boxes.size());
    const auto threshold = static_cast<float>(manifest_.postprocess.mask_threshold);
    workers_.each(found.codes.size(), [&, maps = maps, side = side](size_t i) {
        const float* map = maps + i * side * side;
        found.codes[i] = paste(map, side, boxes.whole[i], found.width, found.height, threshold);
    });
    times.post = now_ns() - begin;
    return found;
}

Detections Segmenter::select_from(const Tensor& boxes, const Tensor& scores) const {
    const int64_t proposals = scores.shape[0], pairs = proposals * (scores.shape[1] - 1);
    if (boxes.shape[0] != proposals) {
        throw Error("engine-output", text_of(boxes.shape) + " boxes for " + text_of(scores.shape) + " scores",
                    kOutputRemedy);
    }
    if (select_.instances && *select_.instances > pairs) {
        throw Error("usage",
                    "instances: " + std::to_string(*select_.instances) + " asked for, but the model proposes only " +
                        std::to_string(pairs),
                    "ask for fewer", 2);
    }
    return select(boxes.floats(), scores.floats(), static_cast<int>(proposals),
                  static_cast<int>(manifest_.classes.size()), select_, workers_);
}

const float* Segmenter::masks(const Tensors& detected, const Detections& kept, int& side) {
    masks_.clear();
    Tensors inputs;
    for (const char* feature : {"p2", "p3", "p4", "p5"}) inputs[feature] = detected.at(feature);
    for (size_t i = 0; i < kept.boxes.size(); ++i) {
        const int32_t channel = kept.classes[i];
        inputs["boxes"] = {DType::kFloat32, {kBoxesARun, 4}, &kept.boxes[i]};
        inputs["num"] = {DType::kInt32, {1}, &kBoxesARun};
        inputs["channel"] = {DType::kInt32, {kBoxesARun}, &channel};
        const Tensor map = engine_.run("mask", inputs).at("masks");
        if (map.shape[0] != kBoxesARun || map.shape[1] != map.shape[2]) {
            throw Error("engine-output", text_of(map.shape) + " masks for 1 box", kOutputRemedy);
        }
        side = static_cast<int>(map.shape[1]);
        masks_.insert(masks_.end(), map.floats(), map.floats() + map.count());
    }
    return masks_.data();
}

}  // namespace edge_seg
