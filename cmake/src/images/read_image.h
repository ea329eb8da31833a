// Image files in: JPEG and PNG, upright, as edge_seg/runtime/image.py reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/image.h"

namespace edge_seg {

// Grey becomes three equal channels, alpha is dropped, of 16 bits the upper 8 are kept; EXIF says which side is up.
// Throws Error, naming the file, when there is none, it is empty, cut short, damaged or of another format.
Image read_image(const std::string& path);

// The same for a file's content; `name` is for messages.
Image decode_image(const std::vector<uint8_t>& content, const std::string& name);

}  // namespace edge_seg
