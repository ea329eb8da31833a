#include "engines/null_engine.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/proposals.h"

namespace edge_seg {
namespace {

constexpr float kSure = 20;  // a logit that softmax and sigmoid make nearly 1 of

struct Array {
    Shape shape;  // without unknown sides
    std::vector<float> values;

    int64_t side(size_t axis) const { return shape[axis]; }
};

using Arrays = std::map<std::string, Array>;

Arrays blank(const std::vector<TensorSpec>& specs, int64_t unknown) {
    Arrays arrays;
    for (const TensorSpec& spec : specs) {
        Shape shape = spec.shape;
        std::replace(shape.begin(), shape.end(), int64_t{-1}, unknown);
        double count = 1;
        for (const int64_t side : shape) count *= static_cast<double>(side);
        if (count > static_cast<double>(kMostValues)) {
            throw Error("memory", "the output " + spec.name + " has the size " + text_of(shape), "use a smaller keep");
        }
        arrays[spec.name] = {shape, std::vector<float>(static_cast<size_t>(count_of(shape)))};
    }
    return arrays;
}

// Boxes a fifth of the input, at places spread evenly over it by a low-discrepancy sequence: float32[R, 4], or
// [R, C, 4] with the same for all classes.
void fill_grid(Array& boxes, const PreprocessSpec& input) {
    const double across = input.width * 0.2, down = input.height * 0.2;
    float* out = boxes.values.data();
    const int64_t each = boxes.shape.size() == 3 ? boxes.side(1) : 1;
    double whole = 0;
    for (int64_t r = 0; r < boxes.side(0); ++r) {
        const double x = std::modf(static_cast<double>(r) * 0.7549, &whole) * across * 4;
        const double y = std::modf(static_cast<double>(r) * 0.5698, &whole) * down * 4;
        for (int64_t c = 0; c < each; ++c) {
            for (const double value : {x, y, x + across, y + down}) *out++ = static_cast<float>(value);
        }
    }
}

void fill_background(Array& scores) {
    for (int64_t r = 0; r < scores.side(0); ++r) scores.values[(r + 1) * scores.side(1) - 1] = 1;
}

// Above a half within a circle, falling off linearly from the middle.
void fill_discs(Array& masks) {
    const auto side = static_cast<double>(masks.side(2));
    const auto place = [side](int64_t i) { return (static_cast<double>(i) + 0.5) / side * 2 - 1; };
    float* out = masks.values.data();
    for (int64_t n = 0; n < masks.side(0); ++n) {
        for (int64_t y = 0; y < masks.side(1); ++y) {
            for (int64_t x = 0; x < masks.side(2); ++x) {
                *out++ = static_cast<float>(std::clamp(1.4 - std::hypot(place(y), place(x)), 0.0, 1.0));
            }
        }
    }
}

// A level's logits, all different and in no order, and deltas of 0: the proposals are anchors.
Arrays ripple(int64_t height, int64_t width) {
    const int64_t cells = height * width;
    Arrays arrays{{"logits", {{1, kAnchors, height, width}, {}}},
                  {"deltas", {{1, 4 * kAnchors, height, width}, std::vector<float>(4 * kAnchors * cells)}}};
    for (int64_t i = 0; i < kAnchors * cells; ++i) {
        double whole = 0;
        arrays["logits"].values.push_back(static_cast<float>(std::modf(static_cast<double>(i) * 0.6180339887, &whole)));
    }
    return arrays;
}

// The box head's choose the background, the mask head's are a disc.
void fill_logits(Array& logits) {
    if (logits.shape.size() == 2) {
        fill_background(logits);
        for (float& value : logits.values) value *= kSure;
        return;
    }
    Array discs{{logits.side(0) * logits.side(1), logits.side(2), logits.side(3)}, std::move(logits.values)};
    fill_discs(discs);
    for (float& value : discs.values) value = kSure * (value - 0.5F);
    logits.values = std::move(discs.values);
}

class NullEngine : public Engine {
  public:
    explicit NullEngine(std::map<std::string, Arrays> graphs) : graphs_(std::move(graphs)) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        if (graph == "rpn") {
            const Shape& map = inputs.at("map").shape;
            const auto [level, made] = levels_.try_emplace({map[2], map[3]});
            if (made) level->second = ripple(map[2], map[3]);
            return views_of(level->second);
        }
        Tensors outputs = views_of(graphs_.at(graph));
        for (const char* rows : {"channel", "pooled"}) {
            const auto given = inputs.find(rows);
            if (given == inputs.end()) continue;
            for (auto& [name, output] : outputs) output.shape[0] = given->second.shape[0];
        }
        return outputs;
    }

    Json describe() const override { return {{"name", "null"}, {"version", "1"}, {"threads", 0}}; }

  private:
    static Tensors views_of(const Arrays& arrays) {
        Tensors views;
        for (const auto& [name, array] : arrays) views[name] = {DType::kFloat32, array.shape, array.values.data()};
        return views;
    }

    std::map<std::string, Arrays> graphs_;
    std::map<std::pair<int64_t, int64_t>, Arrays> levels_;
};

}  // namespace

std::unique_ptr<Engine> load_null_engine(const Bundle& bundle) {
    const Manifest& manifest = bundle.manifest;
    std::map<std::string, Arrays> graphs;
    for (const auto& [graph, spec] : manifest.graphs) {
        if (graph == "rpn") continue;
        graphs[graph] =
            blank(spec.outputs, graph == "box_head" ? int64_t{manifest.proposals} : manifest.postprocess.keep);
        for (auto& [name, array] : graphs[graph]) {
            if (name == "rois" || name == "boxes") fill_grid(array, manifest.preprocess);
            if (name == "scores") fill_background(array);
            if (name == "masks") fill_discs(array);
            if (name == "logits") fill_logits(array);
        }
    }
    return std::make_unique<NullEngine>(std::move(graphs));
}

}  // namespace edge_seg
