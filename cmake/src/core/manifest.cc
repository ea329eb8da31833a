#include "core/manifest.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "core/error.h"
#include "core/json_fields.h"

namespace edge_seg {
namespace {

constexpr char kResize[] = "letterbox-linear";
constexpr int kLongestSide = 16384;
constexpr int64_t kMostVersions = int64_t{1} << 53;

DType read_dtype(Fields& fields) {
    const std::string name = fields.text("dtype");
    for (const DType dtype : {DType::kFloat32, DType::kInt32, DType::kInt64}) {
        if (name == name_of(dtype)) return dtype;
    }
    refuse(fields.where("dtype"), "float32, int32 or int64", name);
}

void check_shape(const Shape& shape, const std::string& where) {
    int64_t count = 1;
    for (const int64_t side : shape) {
        if (side != -1 && (side < 1 || side > kMostValues)) refuse(where, "sides above 0, or -1", shape);
        if (side > 0) count *= side;
        if (count > kMostValues) refuse(where, "fewer values", shape);
    }
}

std::vector<TensorSpec> read_tensors(Fields& graph, const std::string& name) {
    std::vector<TensorSpec> tensors;
    for (const Json& value : graph.list(name)) {
        Fields fields(value, graph.where(name) + "[" + std::to_string(tensors.size()) + "]");
        tensors.push_back({fields.text("name"), fields.wholes("shape"), read_dtype(fields)});
        fields.refuse_others();
        check_shape(tensors.back().shape, fields.where("shape"));
    }
    return tensors;
}

GraphSpec read_graph(Fields graph) {
    GraphSpec spec;
    spec.files = graph.text_map("files");
    spec.inputs = read_tensors(graph, "inputs");
    spec.outputs = read_tensors(graph, "outputs");
    graph.refuse_others();
    if (spec.files.empty()) refuse(graph.where("files"), "at least one file", Json::object());
    return spec;
}

PreprocessSpec read_preprocess(Fields fields) {
    PreprocessSpec spec;
    const std::vector<int64_t> size = fields.wholes("size");
    const auto valid = [](int64_t side) { return side > 0 && side % 32 == 0 && side <= kLongestSide; };
    if (size.size() != 2) refuse(fields.where("size"), "2 values", size);
    if (!valid(size[0]) || !valid(size[1])) refuse(fields.where("size"), "multiples of 32, at most 16384", size);
    spec.height = static_cast<int>(size[0]);
    spec.width = static_cast<int>(size[1]);
    if (fields.has("color")) {
        const std::string color = fields.text("color");
        if (color != "RGB" && color != "BGR") refuse(fields.where("color"), "RGB or BGR", color);
        spec.rgb = color == "RGB";
    }
    if (fields.has("mean")) spec.mean = fields.numbers<3>("mean");
    if (fields.has("std")) spec.std = fields.numbers<3>("std");
    if (*std::min_element(spec.std.begin(), spec.std.end()) <= 0)
        refuse(fields.where("std"), "values above 0", spec.std);
    if (fields.has("pad")) spec.pad = fields.number("pad");
    if (fields.has("resize") && fields.text("resize") != kResize) {
        refuse(fields.where("resize"), kResize, fields.text("resize"));
    }
    fields.refuse_others();
    return spec;
}

double read_share(Fields& fields, const std::string& name, double otherwise) {
    if (!fields.has(name)) return otherwise;
    const double value = fields.number(name);
    if (value < 0 || value > 1) refuse(fields.where(name), "a number between 0 and 1", value);
    return value;
}

PostprocessSpec read_postprocess(Fields fields) {
    PostprocessSpec spec;
    spec.score_threshold = read_share(fields, "score_threshold", spec.score_threshold);
    spec.nms_iou = read_share(fields, "nms_iou", spec.nms_iou);
    spec.mask_threshold = read_share(fields, "mask_threshold", spec.mask_threshold);
    if (fields.has("keep")) spec.keep = fields.small_whole("keep");
    if (spec.keep < 1) refuse(fields.where("keep"), "at least 1", spec.keep);
    fields.refuse_others();
    return spec;
}

ProposalRules read_rpn(Fields fields) {
    ProposalRules rules;
    rules.anchor_sizes = fields.numbers<5>("anchor_sizes");
    rules.before_nms = fields.small_whole("before_nms");
    rules.nms_iou = fields.number("nms_iou");
    rules.box_weights = fields.numbers<4>("box_weights");
    fields.refuse_others();
    if (rules.before_nms < 1) refuse(fields.where("before_nms"), "at least 1", rules.before_nms);
    if (rules.nms_iou < 0 || rules.nms_iou > 1) {
        refuse(fields.where("nms_iou"), "a number between 0 and 1", rules.nms_iou);
    }
    const auto least = [](const auto& values) { return *std::min_element(values.begin(), values.end()); };
    if (least(rules.anchor_sizes) <= 0) refuse(fields.where("anchor_sizes"), "numbers above 0", rules.anchor_sizes);
    if (least(rules.box_weights) <= 0) refuse(fields.where("box_weights"), "numbers above 0", rules.box_weights);
    return rules;
}

Golden read_golden(Fields fields) {
    Golden golden;
    golden.files = fields.text_map("files");
    golden.image = fields.text("image");
    golden.expected = fields.text("expected");
    if (fields.has("instances") && !fields.any("instances").is_null()) {
        golden.instances = fields.small_whole("instances");
    }
    fields.refuse_others();
    for (const std::string& name : {golden.image, golden.expected}) {
        if (golden.files.count(name) == 0) refuse(fields.where("files"), "a hash of " + name, golden.files);
    }
    return golden;
}

Tolerance read_tolerance(Fields fields) {
    Tolerance limit;
    if (fields.has("matched")) limit.matched = fields.number("matched");
    if (fields.has("box_px")) limit.box_px = fields.number("box_px");
    if (fields.has("score")) limit.score = fields.number("score");
    if (fields.has("mask_iou")) limit.mask_iou = fields.number("mask_iou");
    if (fields.has("mask_pixels")) limit.mask_pixels = fields.small_whole("mask_pixels");
    if (fields.has("least_score")) limit.least_score = fields.number("least_score");
    fields.refuse_others();
    return limit;
}

void check_classes(const Manifest& manifest, const Fields& fields) {
    if (manifest.classes.empty()) refuse(fields.where("classes"), "at least one class", Json::array());
    const std::set<int64_t> different(manifest.category_ids.begin(), manifest.category_ids.end());
    const size_t count = manifest.classes.size();
    if (manifest.category_ids.size() != count || different.size() != count) {
        refuse(fields.where("category_ids"), std::to_string(count) + " different ids, one for each class",
               manifest.category_ids);
    }
}

void check_schema(const Json& plain, const std::string& file) {
    const Json schema = plain.is_object() ? plain.value("schema", Json()) : Json();
    if (!schema.is_number_integer() || schema != kSchema) {
        throw Error("manifest-schema", file + ": manifest schema " + schema.dump() + ", expected 1",
                    "convert the model again with the edge-seg that this runner is of, or use a runner of the version"
                    " that made the bundle");
    }
}

}  // namespace

Manifest parse_manifest(const std::vector<uint8_t>& content, const std::string& file) {
    const Json plain = parse_json(content, file, "manifest-invalid");
    check_schema(plain, file);
    Fields fields(plain, file + ": manifest");
    Manifest manifest;
    fields.any("schema");
    manifest.name = fields.text("name");
    manifest.model = fields.text("model");
    manifest.recipe = fields.text("recipe");
    manifest.engine = fields.text("engine");
    manifest.engine_version = fields.text("engine_version");
    manifest.target = fields.text("target");
    manifest.precision = fields.text("precision");
    manifest.classes = fields.texts("classes");
    manifest.category_ids = fields.wholes("category_ids");
    manifest.preprocess = read_preprocess(fields.object("preprocess"));
    manifest.postprocess = read_postprocess(fields.object("postprocess"));
    manifest.proposals = fields.small_whole("proposals");
    if (manifest.proposals < 1) refuse(fields.where("proposals"), "at least 1", manifest.proposals);
    if (fields.has("canonical_size") && !fields.any("canonical_size").is_null()) {
        const int size = fields.small_whole("canonical_size");
        if (size < 1) refuse(fields.where("canonical_size"), "at least 1", size);
        manifest.canonical_size = size;
    }
    Fields graphs = fields.object("graphs");
    for (const std::string& name : graphs.names()) manifest.graphs[name] = read_graph(graphs.object(name));
    if (fields.has("rpn") && !fields.any("rpn").is_null()) manifest.rpn = read_rpn(fields.object("rpn"));
    if (fields.has("version")) {  // which of two bundles is newer: for those who deploy them
        const int64_t version = fields.whole("version");
        if (version < 0 || version >= kMostVersions) refuse(fields.where("version"), "0 or more", version);
    }
    manifest.golden = read_golden(fields.object("golden"));
    manifest.random_weights = fields.truth("random_weights");
    // What says where the bundle came from is for people, but for the limits of one whose precision is lower.
    fields.object("source");
    if (fields.has("optimizer")) {
        Fields optimizer = fields.object("optimizer");
        if (optimizer.has("requires")) manifest.needs = optimizer.texts("requires");
        if (optimizer.has("fp16")) manifest.fp16 = optimizer.texts("fp16");
    }
    if (fields.has("verification")) {
        Fields verification = fields.object("verification");
        if (verification.has("self_test")) manifest.self_test = read_tolerance(verification.object("self_test"));
    }
    fields.refuse_others();
    check_classes(manifest, fields);
    return manifest;
}

}  // namespace edge_seg
