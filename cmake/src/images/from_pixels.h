// Images that a program holds in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image.h"

namespace edge_seg {

// A copy of 3 bytes a pixel, `stride` bytes from a row to the next, red first if `rgb`, else blue first. Throws Error
// for sides below 1, rows that overlap, and more pixels than an image may have.
Image image_from(const uint8_t* pixels, int width, int height, size_t stride, bool rgb);

}  // namespace edge_seg
