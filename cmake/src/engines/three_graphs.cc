#include "engines/three_graphs.h"

namespace edge_seg {

Tensors ThreeGraphs::detect(const Tensors& image) {
    Tensors found = engine_->run("trunk", image);
    take(found);
    const Tensor rois = found.at("rois");
    found.erase("rois");
    found.merge(engine_->run("box_head", {{"pooled", pool_for_boxes(rois.floats(), rois.shape[0])}, {"rois", rois}}));
    return found;
}

Tensors ThreeGraphs::mask(const Tensors& pooled, const Tensor& channel) {
    return engine_->run("mask_head", {{"pooled", pooled.at("pooled")}, {"channel", channel}});
}

}  // namespace edge_seg
