// The libraries that decode pictures, with their C ways kept inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/image.h"

namespace edge_seg {

// As many pixels as OpenCV decodes at most; fewer where an address has 32 bits.
constexpr uint64_t kMostPixels = uint64_t{1} << (sizeof(size_t) > 4 ? 30 : 28);

struct DecodeError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Decoded {
    Image image;          // as stored
    int orientation = 1;  // EXIF's: how it is to be turned
};

// Both throw DecodeError with the library's own words.
Decoded decode_jpeg(const std::vector<uint8_t>& content);
Decoded decode_png(const std::vector<uint8_t>& content);

// The libraries' versions.
std::string jpeg_version();
std::string png_version();

}  // namespace edge_seg
