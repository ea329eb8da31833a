// An image: uint8, three interleaved channels, blue first, rows without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edge_seg {

struct Image {
    Image() = default;
    Image(int width, int height) : width(width), height(height), bgr(size_t{3} * width * height) {}

    uint8_t* row(int y) { return &bgr[size_t{3} * width * y]; }
    const uint8_t* row(int y) const { return &bgr[size_t{3} * width * y]; }

    int width = 0;
    int height = 0;
    std::vector<uint8_t> bgr;
};

}  // namespace edge_seg
