#include "engines/checks.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/phase.h"
#include "core/proposals.h"

namespace edge_seg {
namespace {

constexpr std::array<const char*, 4> kFeatures{"p2", "p3", "p4", "p5"};
const std::set<std::string> kLookedThrough{"rois", "boxes", "scores", "masks", "logits", "deltas"};
const std::map<std::string, std::set<std::string>> kMachines = {
    {"arm", {"aarch64", "arm64", "armv7l", "armv8l"}},
    {"x86", {"x86_64", "i686"}},
    {"cpu", {"aarch64", "arm64", "armv7l", "armv8l", "x86_64", "i686"}},
};

std::string kind_of(DType dtype, const Shape& shape) {
    return name_of(dtype) + text_of(shape);
}

bool fits(const Shape& expected, const Shape& found) {
    const auto same = [](int64_t wanted, int64_t side) { return wanted == -1 || wanted == side; };
    return expected.size() == found.size() && std::equal(expected.begin(), expected.end(), found.begin(), same);
}

void check_tensor(const std::string& where, const TensorSpec& spec, const Tensor& value, const char* code) {
    if (value.dtype == spec.dtype && fits(spec.shape, value.shape)) return;
    throw Error(code,
                where + " " + spec.name + " is " + kind_of(value.dtype, value.shape) + ", expected " +
                    kind_of(spec.dtype, spec.shape),
                "convert the model again, and see that the library is the one that it was made for");
}

int64_t count_not_finite(const Tensor& tensor) {
    if (tensor.dtype != DType::kFloat32) return 0;
    return std::count_if(tensor.floats(), tensor.floats() + tensor.count(), [](float v) { return !std::isfinite(v); });
}

// In an expected shape: whatever the manifest says, and whatever it says above 0.
constexpr int64_t kAny = -2, kKnown = -3;

using Expected = std::map<std::string, std::pair<DType, Shape>>;

bool is_one_of(const TensorSpec& spec, const Expected& expected) {
    const auto found = expected.find(spec.name);
    if (found == expected.end() || found->second.first != spec.dtype) return false;
    const Shape& shape = found->second.second;
    const auto same = [](int64_t wanted, int64_t side) {
        return wanted == kAny || wanted == side || (wanted == kKnown && side > 0);
    };
    return shape.size() == spec.shape.size() && std::equal(shape.begin(), shape.end(), spec.shape.begin(), same);
}

void require_tensors(const Manifest& manifest, const std::string& graph, const std::string& side,
                     const std::vector<TensorSpec>& specs, const Expected& expected) {
    std::set<std::string> names;
    for (const TensorSpec& spec : specs) {
        if (is_one_of(spec, expected)) names.insert(spec.name);
    }
    if (names.size() == expected.size() && specs.size() == expected.size()) return;
    std::string found, wanted;
    for (const TensorSpec& spec : specs) {
        found += (found.empty() ? "" : ", ") + spec.name + " " + kind_of(spec.dtype, spec.shape);
    }
    for (const auto& [name, kind] : expected) {
        wanted += (wanted.empty() ? "" : ", ") + name + " " + kind_of(kind.first, kind.second);
    }
    throw Error("manifest-invalid",
                "the bundle '" + manifest.name + "': the " + side + " of the graph '" + graph + "' are " +
                    (found.empty() ? "missing" : found) + "; expected " + wanted + " (-2: any, -3: any above 0)",
                "the manifest is damaged or of another kind of model: copy the bundle again or convert anew");
}

std::pair<DType, Shape> floats(const Shape& shape) {
    return {DType::kFloat32, shape};
}

std::pair<DType, Shape> ints(const Shape& shape) {
    return {DType::kInt32, shape};
}

// The manifest's graph of that name; one without tensors where there is none.
GraphSpec graph_of(const Manifest& manifest, const char* name) {
    const auto found = manifest.graphs.find(name);
    return found == manifest.graphs.end() ? GraphSpec() : found->second;
}

void check_two(const Manifest& manifest, const Expected& image) {
    const GraphSpec detect = graph_of(manifest, "detect"), mask = graph_of(manifest, "mask");
    const auto classes = static_cast<int64_t>(manifest.classes.size());
    Expected found{{"boxes", floats({kAny, classes, 4})}, {"scores", floats({kAny, classes + 1})}};
    Expected wanted{{"boxes", floats({-1, 4})}, {"num", ints({1})}, {"channel", ints({-1})}};
    for (const char* feature : kFeatures) {
        found[feature] = wanted[feature] = floats({1, kAny, kAny, kAny});
    }
    require_tensors(manifest, "detect", "inputs", detect.inputs, image);
    require_tensors(manifest, "detect", "outputs", detect.outputs, found);
    require_tensors(manifest, "mask", "inputs", mask.inputs, wanted);
    require_tensors(manifest, "mask", "outputs", mask.outputs, {{"masks", floats({-1, kAny, kAny})}});
}

// The side `axis` of the tensor of that name, when it is known; kKnown otherwise.
int64_t side_of(const std::vector<TensorSpec>& specs, const char* name, size_t axis) {
    for (const TensorSpec& spec : specs) {
        if (spec.name == name && axis < spec.shape.size() && spec.shape[axis] > 0) return spec.shape[axis];
    }
    return kKnown;
}

// P2 to P5, as a trunk must give them.
Expected maps_of(const Manifest& manifest, int64_t channels) {
    Expected maps;
    int64_t stride = 4;
    for (const char* feature : kFeatures) {
        maps[feature] = floats({1, channels, manifest.preprocess.height / stride, manifest.preprocess.width / stride});
        stride *= 2;
    }
    return maps;
}

[[noreturn]] void refuse_without(const Manifest& manifest, const std::string& key) {
    std::string names;
    for (const auto& [name, graph] : manifest.graphs) names += (names.empty() ? "" : ", ") + name;
    throw Error("manifest-invalid",
                "the bundle '" + manifest.name + "' holds the graphs " + names + ", but its manifest has no " + key,
                "the manifest is damaged: copy the bundle again or convert anew");
}

void check_three(const Manifest& manifest, const Expected& image) {
    const GraphSpec trunk = graph_of(manifest, "trunk"), box_head = graph_of(manifest, "box_head"),
                    mask_head = graph_of(manifest, "mask_head");
    const auto classes = static_cast<int64_t>(manifest.classes.size());
    const int64_t rows = manifest.proposals, channels = side_of(trunk.outputs, "p2", 1);
    const auto pooled = [channels](int64_t count, const GraphSpec& head) {
        const int64_t side = side_of(head.inputs, "pooled", 3);
        return floats({count, channels, side, side});
    };
    Expected proposed = maps_of(manifest, channels);
    proposed["rois"] = floats({rows, 4});
    require_tensors(manifest, "trunk", "inputs", trunk.inputs, image);
    require_tensors(manifest, "trunk", "outputs", trunk.outputs, proposed);
    require_tensors(manifest, "box_head", "inputs", box_head.inputs,
                    {{"pooled", pooled(rows, box_head)}, {"rois", floats({rows, 4})}});
    require_tensors(manifest, "box_head", "outputs", box_head.outputs,
                    {{"boxes", floats({rows, classes, 4})}, {"scores", floats({rows, classes + 1})}});
    require_tensors(manifest, "mask_head", "inputs", mask_head.inputs,
                    {{"pooled", pooled(-1, mask_head)}, {"channel", ints({-1})}});
    require_tensors(manifest, "mask_head", "outputs", mask_head.outputs, {{"masks", floats({-1, kAny, kAny})}});
}

void check_convolutions(const Manifest& manifest, const Expected& image) {
    const GraphSpec trunk = graph_of(manifest, "trunk"), rpn = graph_of(manifest, "rpn"),
                    box_head = graph_of(manifest, "box_head"), mask_head = graph_of(manifest, "mask_head");
    const auto classes = static_cast<int64_t>(manifest.classes.size());
    const int64_t channels = side_of(trunk.outputs, "p2", 1);
    const auto pooled = [channels](const GraphSpec& head) -> Expected {
        const int64_t side = side_of(head.inputs, "pooled", 3);
        return {{"pooled", floats({-1, channels, side, side})}};
    };
    // P6 has half of P5's sides, rounded up or down as the model's neck does it.
    const auto coarsest = [&trunk](int side, size_t axis) {
        const int64_t found = side_of(trunk.outputs, "p6", axis), down = std::max(1, side / 64), up = (side + 32) / 64;
        return found == up ? up : down;
    };
    Expected maps = maps_of(manifest, channels);
    maps["p6"] = floats({1, channels, coarsest(manifest.preprocess.height, 2), coarsest(manifest.preprocess.width, 3)});
    require_tensors(manifest, "trunk", "inputs", trunk.inputs, image);
    require_tensors(manifest, "trunk", "outputs", trunk.outputs, maps);
    require_tensors(manifest, "rpn", "inputs", rpn.inputs, {{"map", floats({1, channels, -1, -1})}});
    require_tensors(manifest, "rpn", "outputs", rpn.outputs,
                    {{"logits", floats({1, kAnchors, -1, -1})}, {"deltas", floats({1, 4 * kAnchors, -1, -1})}});
    require_tensors(manifest, "box_head", "inputs", box_head.inputs, pooled(box_head));
    require_tensors(manifest, "box_head", "outputs", box_head.outputs,
                    {{"logits", floats({-1, classes + 1})}, {"deltas", floats({-1, 4 * classes})}});
    require_tensors(manifest, "mask_head", "inputs", mask_head.inputs, pooled(mask_head));
    require_tensors(manifest, "mask_head", "outputs", mask_head.outputs,
                    {{"logits", floats({-1, classes, kAny, kAny})}});
    if (!manifest.rpn) refuse_without(manifest, "rpn");
}

class Checked : public Engine {
  public:
    Checked(std::unique_ptr<Engine> engine, std::string name, const Manifest& manifest)
        : engine_(std::move(engine)), name_(std::move(name)), manifest_(manifest) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        const GraphSpec& spec = manifest_.graphs.at(graph);
        check_inputs(graph, spec, inputs);
        const bool first = ran_.insert(graph).second;
        note_phase(
            (first ? "running the graph " + graph + " for the first time" : "running the graph " + graph).c_str());
        Tensors outputs = engine_->run(graph, inputs);
        note_phase("working on the graphs' output");
        check_outputs(name_ + ": " + graph, spec, outputs);
        return outputs;
    }

    Json describe() const override { return engine_->describe(); }

  private:
    std::unique_ptr<Engine> engine_;
    std::string name_;
    const Manifest& manifest_;
    std::set<std::string> ran_;
};

}  // namespace

void check_machine(const Manifest& manifest, const std::string& machine) {
    const auto fitting = kMachines.find(manifest.target);
    if (fitting == kMachines.end()) {
        throw Error(
            "target-mismatch",
            "the bundle '" + manifest.name + "' is for '" + manifest.target + "', which this runner doesn't know",
            "convert with a recipe for Arm, such as arm-fp32");
    }
    if (fitting->second.count(machine) > 0) return;
    const bool x86 = kMachines.at("x86").count(machine) > 0;
    throw Error("target-mismatch",
                "the bundle '" + manifest.name + "' is for " + manifest.target + " (recipe " + manifest.recipe +
                    "), but this machine is " + machine + ": the library would crash or return garbage",
                "run it on a device of the kind " + manifest.target +
                    ", or convert with a recipe for this machine, such as " + (x86 ? "x86-fp32" : "arm-fp32"));
}

void check_version(const Manifest& manifest, const std::string& found) {
    if (manifest.engine_version == found) return;
    throw Error(
        "version-mismatch",
        "the bundle '" + manifest.name + "' was made for " + manifest.engine + " " + manifest.engine_version +
            ", but this runner was built with " + found,
        "convert it with that version, or use a runner built with " + manifest.engine + " " + manifest.engine_version);
}

void check_graphs(const Manifest& manifest) {
    const PreprocessSpec& input = manifest.preprocess;
    const Expected image{{"image", floats({1, 3, input.height, input.width})}};
    if (manifest.graphs.count("trunk") == 0) return check_two(manifest, image);
    manifest.graphs.count("rpn") > 0 ? check_convolutions(manifest, image) : check_three(manifest, image);
    if (!manifest.canonical_size) refuse_without(manifest, "canonical_size");
}

void check_inputs(const std::string& graph, const GraphSpec& spec, const Tensors& inputs) {
    for (const TensorSpec& tensor : spec.inputs) {
        const auto found = inputs.find(tensor.name);
        if (found == inputs.end()) throw Error("engine-input", graph + ": input " + tensor.name + " is missing");
        check_tensor(graph + ": input", tensor, found->second, "engine-input");
        if (found->second.count() == 0) throw Error("engine-input", graph + ": input " + tensor.name + " is empty");
    }
    if (inputs.size() != spec.inputs.size()) {
        throw Error("engine-input", graph + ": " + std::to_string(inputs.size()) + " inputs, expected " +
                                        std::to_string(spec.inputs.size()));
    }
    const auto boxes = inputs.find("boxes");
    if (boxes != inputs.end() && count_not_finite(boxes->second) > 0) {
        throw Error("engine-input", graph + ": a box holds a value that is not finite");
    }
    const auto num = inputs.find("num");
    if (boxes != inputs.end() && num != inputs.end()) {
        const int32_t said = *static_cast<const int32_t*>(num->second.data);
        if (said != boxes->second.shape[0]) {
            throw Error("engine-input", graph + ": num is " + std::to_string(said) + " for " +
                                            std::to_string(boxes->second.shape[0]) + " boxes");
        }
    }
}

void check_outputs(const std::string& where, const GraphSpec& spec, const Tensors& outputs) {
    for (const TensorSpec& tensor : spec.outputs) {
        const Tensor& value = outputs.at(tensor.name);
        check_tensor(where + ": output", tensor, value, "engine-output");
        // Feature maps aren't looked through (they are large): what is wrong in them shows in the masks.
        if (kLookedThrough.count(tensor.name) == 0) continue;
        if (const int64_t wrong = count_not_finite(value)) {
            throw Error("engine-output",
                        where + ": output " + tensor.name + " holds " + std::to_string(wrong) + " of " +
                            std::to_string(value.count()) + " values that are not finite",
                        "the converted model doesn't compute on this machine; convert it again or with another recipe");
        }
    }
}

std::unique_ptr<Engine> checked(std::unique_ptr<Engine> engine, const std::string& name, const Manifest& manifest) {
    return std::make_unique<Checked>(std::move(engine), name, manifest);
}

}  // namespace edge_seg
