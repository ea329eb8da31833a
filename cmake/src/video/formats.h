// Videos that need no library: frames one after the other in a file or a pipe.
#pragma once

#include <memory>

#include "video/byte_stream.h"
#include "video/source.h"

namespace edge_seg {

// Whether the stream begins as one of these. They take nothing from it.
bool is_y4m(ByteStream& stream);
bool is_mjpeg(ByteStream& stream);

// Frames of YUV4MPEG2, 8 bits: 4:2:0, 4:2:2, 4:4:4 and grey. Throws Error (video-unreadable) for others.
std::unique_ptr<Source> read_y4m(std::unique_ptr<ByteStream> stream);

// JPEG images one after the other; what lies between them is passed over.
std::unique_ptr<Source> read_mjpeg(std::unique_ptr<ByteStream> stream);

}  // namespace edge_seg
