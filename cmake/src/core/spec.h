// What a bundle's manifest says, as edge_seg/bundle.py defines it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace edge_seg {

struct PreprocessSpec {
    int height = 0, width = 0;  // of the network's input
    bool rgb = true;            // order of the channels in the input, of mean and of std; else blue first
    std::array<double, 3> mean{0.485, 0.456, 0.406};
    std::array<double, 3> std{0.229, 0.224, 0.225};
    double pad = 0;
};

struct PostprocessSpec {
    double score_threshold = 0.05;
    double nms_iou = 0.5;
    int keep = 100;
    double mask_threshold = 0.5;
};

// A graph's input or output. -1 in the shape is a size known only at run time.
struct TensorSpec {
    std::string name;
    Shape shape;
    DType dtype = DType::kFloat32;
};

// How the outputs of graphs of convolutions become boxes: core/proposals.h.
struct ProposalRules {
    std::array<double, 5> anchor_sizes{32, 64, 128, 256, 512};  // square root of an anchor's area, for P2 to P6
    int before_nms = 1000;                                      // boxes of each level that enter NMS
    double nms_iou = 0.7;
    std::array<double, 4> box_weights{10, 10, 5, 5};  // what the box head's deltas are divided by
};

struct GraphSpec {
    std::map<std::string, std::string> files;  // name in the bundle -> sha256
    std::vector<TensorSpec> inputs, outputs;
};

struct Golden {
    std::map<std::string, std::string> files;
    std::string image, expected;
    std::optional<int> instances;
};

// How far the self-test may be from the expected result; edge_seg/runtime/selftest.py explains the numbers.
struct Tolerance {
    double matched = 0.98, box_px = 0.1, score = 1e-3, mask_iou = 0.99;
    int mask_pixels = 4;
    double least_score = 0;
};

struct Manifest {
    std::string name, model, recipe, engine, engine_version, target, precision;
    std::vector<std::string> needs;  // optimizer.requires: what the library must have been built with
    std::vector<std::string> fp16;   // optimizer.fp16: graphs that ncnn computes in fp16 where the processor can
    std::vector<std::string> classes;
    std::vector<int64_t> category_ids;
    PreprocessSpec preprocess;
    PostprocessSpec postprocess;
    int proposals = 0;
    // Side of a box that is read from P4, pixels of the input; where RoIAlign is the runtime's.
    std::optional<int> canonical_size;
    std::optional<ProposalRules> rpn;  // where the graphs are convolutions only
    std::map<std::string, GraphSpec> graphs;
    Golden golden;
    bool random_weights = false;
    Tolerance self_test;
};

}  // namespace edge_seg
