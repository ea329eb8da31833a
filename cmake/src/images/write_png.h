// Image files out, as PNG, whole or not at all.
#pragma once

#include <string>

#include "core/image.h"

namespace edge_seg {

// Throws std::system_error when the file can't be written, DecodeError when the image can't be encoded.
void write_png(const std::string& path, const Image& image);

}  // namespace edge_seg
