#include "images/from_pixels.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/limits.h"

namespace edge_seg {

Image image_from(const uint8_t* pixels, int width, int height, size_t stride, bool rgb) {
    const size_t row_bytes = width < 1 ? 0 : size_t{3} * static_cast<size_t>(width);
    if (width < 1 || height < 1 || stride < row_bytes) {
        throw Error("usage", "an image without pixels, or with rows that overlap",
                    "give a width and a height from 1 on, and a stride of at least 3 bytes a pixel", 2);
    }
    check_pixels("the image", static_cast<uint64_t>(width), static_cast<uint64_t>(height));
    Image image(width, height);
    for (int y = 0; y < height; ++y) {
        uint8_t* row = image.row(y);
        std::copy_n(pixels + stride * static_cast<size_t>(y), row_bytes, row);
        for (size_t at = 0; rgb && at < row_bytes; at += 3) std::swap(row[at], row[at + 2]);
    }
    return image;
}

}  // namespace edge_seg
