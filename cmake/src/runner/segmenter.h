// Image in, instances out: preprocessing, the two graphs, NMS and mask pasting, whatever the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/preprocess.h"
#include "core/select.h"
#include "core/workers.h"
#include "engines/engine.h"

namespace edge_seg {

struct SegmenterOptions {
    std::optional<double> score;   // threshold; the manifest's unless given
    std::optional<int> instances;  // exactly so many best boxes, whatever their scores
    std::optional<int> top_k;      // at most so many; the manifest's unless given
    int threads = 1;               // for what is outside the graphs
};

// Instances of an image, best first, in its pixels. `codes` are COCO run-length codes.
struct Found {
    int width = 0, height = 0;
    std::vector<Box> boxes;
    std::vector<float> scores;
    std::vector<int> classes;
    std::vector<std::string> codes;

    size_t size() const { return scores.size(); }
};

// Nanoseconds of each stage; `total` is measured around all, apart from them.
struct StageTimes {
    int64_t pre = 0, detect = 0, nms = 0, mask = 0, post = 0, total = 0;
};

// What the graphs made of an image. The maps, [N, side, side], belong to the segmenter until the next image.
struct Raw {
    Geometry geometry;
    Detections kept;
    const float* maps = nullptr;
    int side = 0;
};

class Segmenter {
  public:
    // `engine` and `manifest` must outlive it. Throws Error for an option out of range.
    Segmenter(Engine& engine, const Manifest& manifest, const SegmenterOptions& options);

    Found run(const Image& image, StageTimes& times);

    // Its three parts, each of which sets its own stages' times. With one thread for them, `prepare` and `finish` may
    // be called in other threads than `infer`, for other images at the same time.
    Geometry prepare(const Image& image, std::vector<float>& blob, StageTimes& times) const;
    Raw infer(const std::vector<float>& blob, const Geometry& geometry, StageTimes& times);
    Found finish(const Raw& raw, StageTimes& times) const;

  private:
    Detections select_from(const Tensor& boxes, const Tensor& scores) const;
    // Probabilities of the masks of what was kept, one after the other, float32[N, side, side]. The graph isn't run
    // when nothing was kept: every library tested aborts on zero boxes.
    const float* masks(const Tensors& detected, const Detections& kept, int& side);

    Engine& engine_;
    const Manifest& manifest_;
    Preprocessor preprocessor_;
    SelectOptions select_;
    mutable Workers workers_;
    std::vector<float> blob_, masks_;
};

}  // namespace edge_seg
