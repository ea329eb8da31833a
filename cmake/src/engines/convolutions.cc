#include "engines/convolutions.h"

#include <algorithm>

#include "core/error.h"
#include "core/exact.h"
#include "core/phase.h"

namespace edge_seg {
namespace {

constexpr std::array<const char*, kProposalLevels> kLevelMaps{"p2", "p3", "p4", "p5", "p6"};

void copy(const Tensor& from, std::vector<float>& to) {
    to.assign(from.floats(), from.floats() + from.count());
}

}  // namespace

Convolutions::Convolutions(std::unique_ptr<Engine> engine, const Manifest& manifest, int threads)
    : PyramidEngine(std::move(engine), manifest, threads),
      proposer_(*manifest.rpn, manifest.preprocess.height, manifest.preprocess.width, manifest.proposals),
      proposals_(manifest.proposals),
      classes_(static_cast<int64_t>(manifest.classes.size())) {
    if (proposals_ > kMostValues / (4 * (classes_ + 1))) {
        throw Error("memory",
                    "the bundle '" + manifest.name + "' asks for " + std::to_string(proposals_) + " proposals",
                    "convert with fewer");
    }
    boxes_.resize(static_cast<size_t>(proposals_ * classes_ * 4));
    scores_.resize(static_cast<size_t>(proposals_ * (classes_ + 1)));
}

std::vector<Box> Convolutions::propose(const Tensors& maps) {
    std::array<LevelOutputs, kProposalLevels> levels;
    for (size_t level = 0; level < levels.size(); ++level) {
        const Tensors found = engine_->run("rpn", {{"map", maps.at(kLevelMaps[level])}});
        const Tensor &logits = found.at("logits"), &deltas = found.at("deltas");
        const Shape& map = maps.at(kLevelMaps[level]).shape;
        for (const Tensor* tensor : {&logits, &deltas}) {
            if (tensor->shape[2] == map[2] && tensor->shape[3] == map[3]) continue;
            throw Error("engine-output", std::string("rpn: the output for ") + kLevelMaps[level] + " is " +
                                             text_of(tensor->shape) + ", not of the map's size");
        }
        copy(logits, logits_[level]);
        copy(deltas, deltas_[level]);
        levels[level] = {static_cast<int>(map[2]), static_cast<int>(map[3]), logits_[level].data(),
                         deltas_[level].data()};
    }
    note_phase("choosing proposals");
    return proposer_.propose(levels);
}

Tensors Convolutions::detect(const Tensors& image) {
    Tensors found = engine_->run("trunk", image);
    take(found);
    std::vector<Box> rois = propose(found);
    // A box without area stands for all that are missing; the head sees it once.
    if (static_cast<int64_t>(rois.size()) < proposals_) rois.emplace_back();
    const auto rows = static_cast<int64_t>(rois.size());
    const Tensors head = engine_->run("box_head", {{"pooled", pool_for_boxes(rois[0].data(), rows)}});
    const Tensor& logits = head.at("logits");
    for (const auto& [name, tensor] : head) {
        if (tensor.shape[0] == rows) continue;
        throw Error("engine-output", "box_head: " + name + " has " + std::to_string(tensor.shape[0]) + " rows for " +
                                         std::to_string(rows) + " boxes");
    }
    proposer_.decode(rois.data(), rois.size(), head.at("deltas").floats(), static_cast<int>(classes_), boxes_.data());
    const auto columns = static_cast<size_t>(classes_ + 1);
    for (size_t row = 0; row < rois.size(); ++row) {
        exact_softmax(logits.floats() + row * columns, columns, scores_.data() + row * columns);
    }
    for (std::vector<float>* values : {&boxes_, &scores_}) {
        const size_t width = values->size() / static_cast<size_t>(proposals_);
        for (size_t i = rois.size() * width; i < values->size(); ++i) (*values)[i] = (*values)[i - width];
    }
    found.erase("p6");
    found["boxes"] = {DType::kFloat32, {proposals_, classes_, 4}, boxes_.data()};
    found["scores"] = {DType::kFloat32, {proposals_, classes_ + 1}, scores_.data()};
    return found;
}

Tensors Convolutions::mask(const Tensors& pooled, const Tensor& channel) {
    const Tensors head = engine_->run("mask_head", pooled);
    const Tensor& logits = head.at("logits");
    const Shape& shape = logits.shape;
    const int64_t values = shape[2] * shape[3], count = channel.shape[0];
    if (shape[0] != count) {
        throw Error("engine-output",
                    "mask_head: masks of " + std::to_string(shape[0]) + " boxes for " + std::to_string(count));
    }
    masks_.resize(static_cast<size_t>(count * values));
    const auto* chosen = static_cast<const int32_t*>(channel.data);
    for (int64_t n = 0; n < count; ++n) {
        const float* from = logits.floats() + chosen[n] * values;
        std::transform(from, from + values, masks_.data() + n * values, exact_sigmoid);
    }
    return {{"masks", {DType::kFloat32, {count, shape[2], shape[3]}, masks_.data()}}};
}

}  // namespace edge_seg
