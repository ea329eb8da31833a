// Which side of an image is up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image.h"

namespace edge_seg {

// The orientation, 1 to 8, that an EXIF block (from its byte order mark on) holds; 1, upright, when it holds none.
int exif_orientation(const uint8_t* data, size_t size);

// The image turned and mirrored as the orientation says.
Image upright(Image image, int orientation);

}  // namespace edge_seg
