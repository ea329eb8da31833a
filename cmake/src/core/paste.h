// Mask probabilities → masks in the image as COCO run-length codes, by the rule of edge_seg/runtime/masks.py.
//
// A map is bilinear between its values, which stand at the middle of side x side equal cells of the box, and zero one
// cell further out. Down a column it is a chain of straight lines, so where it passes the threshold is solved for; no
// pixel is ever drawn. float32 throughout, one rounding an operation.
#pragma once

#include <string>

#include "core/select.h"

namespace edge_seg {

// The code of one instance: `map` float32[side, side], `box` in image pixels, in a width x height image.
std::string paste(const float* map, int side, const Box& box, int width, int height, float threshold);

}  // namespace edge_seg
