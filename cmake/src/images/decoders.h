// The libraries that decode images, with their C ways kept inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/image.h"

namespace edge_seg {

struct DecodeError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Decoded {
    Image image;          // as stored
    int orientation = 1;  // EXIF's: how it is to be turned
};

// Both throw DecodeError with the library's own words, and Error (image-too-large) before memory is taken for the image
// of that name.
Decoded decode_jpeg(const std::vector<uint8_t>& content, const std::string& name);
Decoded decode_png(const std::vector<uint8_t>& content, const std::string& name);

// The libraries' versions.
std::string jpeg_version();
std::string png_version();

}  // namespace edge_seg
