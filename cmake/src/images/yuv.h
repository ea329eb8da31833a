// Brightness and two colour differences → BGR, as videos and cameras need it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image.h"

namespace edge_seg {

// Where the values lie. BT.601; 16 to 235 and 240 unless `full`: 0 to 255.
struct Yuv {
    const uint8_t *y, *u, *v;
    size_t y_row, chroma_row;    // bytes from a row to the next
    size_t y_step, chroma_step;  // bytes from a value to the next
    int shift_x, shift_y;        // a chroma value stands for 2^shift pixels
    bool full = false;
};

// Fills the image. To the last bit what OpenCV's cvtColor gives for limited range: 20 binary places, chroma values
// repeated.
void to_bgr(const Yuv& yuv, Image& image);

}  // namespace edge_seg
