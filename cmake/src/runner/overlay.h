// Draws what was found: a tint and an outline for each mask, and its box. Labels are left to those who have fonts.
#pragma once

#include "core/image.h"
#include "runner/segmenter.h"

namespace edge_seg {

// A copy of the image with the instances drawn, the best on top.
Image draw(const Image& image, const Found& found);

}  // namespace edge_seg
