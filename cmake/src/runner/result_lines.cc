#include "runner/result_lines.h"

#include <nlohmann/json.hpp>

#include <array>

namespace edge_seg {

Values as_json(const StageTimes& times) {
    return {{"pre", times.pre},   {"detect", times.detect}, {"nms", times.nms},
            {"mask", times.mask}, {"post", times.post},     {"total", times.total}};
}

Values as_json(const Found& found) {
    Values instances = Values::array();
    for (size_t i = 0; i < found.size(); ++i) {
        // Field by field: lists in braces would be copied.
        Values& instance = instances.emplace_back(Values::object());
        instance["box"] = found.boxes[i];
        instance["score"] = found.scores[i];
        instance["class"] = found.classes[i];
        Values& segmentation = instance["segmentation"] = Values::object();
        segmentation["size"] = std::array{found.height, found.width};
        segmentation["counts"] = found.codes[i];
    }
    return instances;
}

}  // namespace edge_seg
