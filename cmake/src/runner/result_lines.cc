#include "runner/result_lines.h"

namespace edge_seg {

Values as_json(const StageTimes& times) {
    return {{"pre", times.pre},   {"detect", times.detect}, {"nms", times.nms},
            {"mask", times.mask}, {"post", times.post},     {"total", times.total}};
}

Values as_json(const Found& found) {
    Values instances = Values::array();
    for (size_t i = 0; i < found.size(); ++i) {
        const Values segmentation = {{"size", {found.height, found.width}}, {"counts", found.codes[i]}};
        instances.push_back({{"box", found.boxes[i]},
                             {"score", found.scores[i]},
                             {"class", found.classes[i]},
                             {"segmentation", segmentation}});
    }
    return instances;
}

}  // namespace edge_seg
