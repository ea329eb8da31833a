// Runs single functions of the core on arrays that it is handed, for the tests in tests/native to compare with Python.
//
// A request is a JSON line on stdin, `{"do": NAME, "bytes": [N, …], …}`, and the N bytes of each array right after it.
// The answer on stdout has the same form; `{"error": CODE, "message": …}` when the function threw.
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>

#include "core/bundle.h"
#include "core/error.h"
#include "core/exact.h"
#include "core/json_fields.h"
#include "core/memory.h"
#include "core/paste.h"
#include "core/preprocess.h"
#include "core/proposals.h"
#include "core/resize.h"
#include "core/rle.h"
#include "core/roi_align.h"
#include "core/select.h"
#include "images/read_image.h"
#include "images/yuv.h"

namespace edge_seg {
namespace {

using Bytes = std::vector<uint8_t>;

struct Message {
    Json head;
    std::vector<Bytes> arrays;
};

template <typename T>
std::vector<T> values(const Bytes& bytes) {
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
    return out;
}

template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
    const auto* begin = reinterpret_cast<const uint8_t*>(values.data());
    return Bytes(begin, begin + values.size() * sizeof(T));
}

Image image_of(const Message& request) {
    Image image(request.head["width"], request.head["height"]);
    image.bgr = request.arrays.at(0);
    return image;
}

Message read(const Message& request) {
    const Image image = read_image(request.head["path"]);
    return {{{"width", image.width}, {"height", image.height}}, {image.bgr}};
}

// How long it takes to read an image `count` times, in ns of this process's time.
Message read_again(const Message& request) {
    const auto now = [] {
        timespec time{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        return int64_t{1000000000} * time.tv_sec + time.tv_nsec;
    };
    const int64_t begin = now();
    for (int i = 0; i < request.head["count"]; ++i) read_image(request.head["path"]);
    return {{{"ns", now() - begin}}, {}};
}

Message resized(const Message& request) {
    const Image image = image_of(request);
    const int width = request.head["to_width"], height = request.head["to_height"];
    const ResizePlan plan(image.width, image.height, width, height);
    Resizer resizer(image, plan, 0);
    Bytes out;
    for (int y = 0; y < height; ++y) {
        const uint8_t* row = resizer.next_row();
        out.insert(out.end(), row, row + 3 * width);
    }
    return {Json::object(), {out}};
}

// `u` and `v` say where their values begin in the one array.
Message converted(const Message& request) {
    const Json& head = request.head;
    const uint8_t* bytes = request.arrays.at(0).data();
    Image image(head["width"], head["height"]);
    Yuv yuv{bytes,          bytes + int{head["u"]}, bytes + int{head["v"]}, head["y_row"],   head["chroma_row"],
            head["y_step"], head["chroma_step"],    head["shift_x"],        head["shift_y"], head["full"]};
    to_bgr(yuv, image);
    return {Json::object(), {image.bgr}};
}

Message preprocessed(const Message& request) {
    PreprocessSpec spec;
    spec.height = request.head["size"][0];
    spec.width = request.head["size"][1];
    spec.rgb = request.head["rgb"];
    spec.mean = request.head["mean"];
    spec.std = request.head["std"];
    spec.pad = request.head["pad"];
    std::vector<float> blob(size_t{3} * spec.height * spec.width);
    Workers workers(request.head["threads"]);
    const Geometry geometry = Preprocessor(spec).run(image_of(request), blob.data(), workers);
    return {{{"scaled_width", geometry.scaled_width}, {"scaled_height", geometry.scaled_height}}, {bytes_of(blob)}};
}

Message selected(const Message& request) {
    SelectOptions options;
    options.score_threshold = request.head["score_threshold"];
    options.nms_iou = request.head["nms_iou"];
    options.keep = request.head["keep"];
    if (!request.head["instances"].is_null()) options.instances = request.head["instances"].get<int>();
    options.height = request.head["extent"][0];
    options.width = request.head["extent"][1];
    const auto boxes = values<float>(request.arrays.at(0)), scores = values<float>(request.arrays.at(1));
    Workers workers(request.head["threads"]);
    const Detections found =
        select(boxes.data(), scores.data(), request.head["proposals"], request.head["classes"], options, workers);
    return {Json::object(), {bytes_of(found.boxes), bytes_of(found.scores), bytes_of(found.classes)}};
}

Message in_image(const Message& request) {
    const Json& head = request.head;
    const ImageBoxes boxes = to_image(values<Box>(request.arrays.at(0)),
                                      {head["width"], head["height"], head["scaled_width"], head["scaled_height"]});
    return {Json::object(), {bytes_of(boxes.whole), bytes_of(boxes.clipped)}};
}

Message pasted(const Message& request) {
    const int side = request.head["side"];
    const auto maps = values<float>(request.arrays.at(0));
    const auto boxes = values<Box>(request.arrays.at(1));
    Json codes = Json::array();
    for (size_t i = 0; i < boxes.size(); ++i) {
        codes.push_back(paste(maps.data() + i * side * side, side, boxes[i], request.head["width"],
                              request.head["height"], request.head["threshold"]));
    }
    return {{{"codes", codes}}, {}};
}

Message overlapped(const Message& request) {
    const int64_t size = request.head["size"];
    const Overlap overlap = overlap_of(decode_runs(request.head["a"], size), decode_runs(request.head["b"], size));
    return {{{"both", overlap.both}, {"either", overlap.either}}, {}};
}

Message opened(const Message& request) {
    const Bundle bundle = open_bundle(request.head["path"]);
    return {{{"name", bundle.manifest.name}}, {}};
}

// The arrays are P2 to P5, float32[C, H / s, W / s], and the boxes.
Message pooled(const Message& request) {
    const Json& head = request.head;
    const int channels = head["channels"], height = head["height"], width = head["width"],
              resolution = head["resolution"];
    std::array<std::vector<float>, kLevels> values;
    FeatureMaps maps;
    for (int i = 0; i < kLevels; ++i) {
        values[i] = edge_seg::values<float>(request.arrays.at(i));
        maps[i] = {values[i].data(), height >> (i + kFirstLevel), width >> (i + kFirstLevel)};
    }
    const auto boxes = edge_seg::values<float>(request.arrays.at(kLevels));
    Pyramid pyramid(head["canonical_size"], head["threads"]);
    pyramid.take(maps, channels);
    std::vector<float> out(boxes.size() / 4 * channels * resolution * resolution);
    pyramid.pool(boxes.data(), boxes.size() / 4, resolution, out.data());
    return {Json::object(), {bytes_of(out)}};
}

ProposalRules rules_of(const Json& head) {
    return {head["anchor_sizes"], head["before_nms"], head["nms_iou"], head["box_weights"]};
}

// The arrays are the logits of P2 to P6, then their deltas.
Message proposed(const Message& request) {
    const Json& head = request.head;
    std::array<std::vector<float>, 2 * kProposalLevels> values;
    for (size_t i = 0; i < values.size(); ++i) values[i] = edge_seg::values<float>(request.arrays.at(i));
    std::array<LevelOutputs, kProposalLevels> levels;
    for (size_t i = 0; i < levels.size(); ++i) {
        const Json& grid = head["grids"][i];
        levels[i] = {grid[0], grid[1], values[i].data(), values[i + kProposalLevels].data()};
    }
    const Proposer proposer(rules_of(head), head["height"], head["width"], head["count"]);
    return {Json::object(), {bytes_of(proposer.propose(levels))}};
}

// The arrays are proposals, the box head's deltas and logits of one box, and the mask head's logits.
Message decoded(const Message& request) {
    const auto proposals = values<Box>(request.arrays.at(0));
    const auto deltas = values<float>(request.arrays.at(1)), logits = values<float>(request.arrays.at(2));
    std::vector<float> boxes(deltas.size()), scores(logits.size()), masks = values<float>(request.arrays.at(3));
    const Proposer proposer(rules_of(request.head), 0, 0, 0);
    const auto classes = static_cast<int>(deltas.size() / 4 / proposals.size());
    proposer.decode(proposals.data(), proposals.size(), deltas.data(), classes, boxes.data());
    exact_softmax(logits.data(), logits.size(), scores.data());
    for (float& value : masks) value = exact_sigmoid(value);
    return {Json::object(), {bytes_of(boxes), bytes_of(scores), bytes_of(masks)}};
}

Message memory(const Message& request) {
    const Json& head = request.head;
    Manifest manifest;
    manifest.engine = head["engine"];
    manifest.target = head["target"];
    manifest.precision = head["precision"];
    manifest.preprocess.height = head["height"];
    manifest.preprocess.width = head["width"];
    const auto needed = needed_bytes(manifest, head["model_bytes"]);
    return {{{"needed", needed ? Json(*needed) : Json()}}, {}};
}

Message answer(const Message& request) {
    static const std::map<std::string, std::function<Message(const Message&)>> functions = {
        {"read", read},
        {"resize", resized},
        {"preprocess", preprocessed},
        {"select", selected},
        {"to_image", in_image},
        {"paste", pasted},
        {"overlap", overlapped},
        {"open", opened},
        {"yuv", converted},
        {"read_again", read_again},
        {"pool", pooled},
        {"propose", proposed},
        {"decode", decoded},
        {"memory", memory},
    };
    try {
        return functions.at(request.head["do"])(request);
    } catch (const Error& problem) {
        return {{{"error", problem.code}, {"message", problem.what()}, {"remedy", problem.remedy}}, {}};
    } catch (const std::exception& problem) {
        return {{{"error", "exception"}, {"message", problem.what()}}, {}};
    }
}

void write(Message message) {
    Json sizes = Json::array();
    for (const Bytes& array : message.arrays) sizes.push_back(array.size());
    message.head["bytes"] = sizes;
    std::cout << message.head.dump() << '\n';
    for (const Bytes& array : message.arrays) {
        std::cout.write(reinterpret_cast<const char*>(array.data()), static_cast<std::streamsize>(array.size()));
    }
    std::cout.flush();
}

void serve() {
    std::string line;
    while (std::getline(std::cin, line)) {
        Message request{Json::parse(line), {}};
        for (const size_t size : request.head["bytes"]) {
            Bytes& array = request.arrays.emplace_back(size);
            std::cin.read(reinterpret_cast<char*>(array.data()), static_cast<std::streamsize>(size));
        }
        write(answer(request));
    }
}

}  // namespace
}  // namespace edge_seg

int main() {
    std::ios::sync_with_stdio(false);
    edge_seg::serve();
}
