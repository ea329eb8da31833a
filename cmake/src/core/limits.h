// The most that a file from outside may ask of this machine; the same figures as in edge_seg/limits.py, and a test
// compares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edge_seg {

constexpr uint64_t kJsonBytes = uint64_t{16} << 20;        // a manifest, a signature, a golden result
constexpr uint64_t kTextFileBytes = uint64_t{1} << 20;     // a key
constexpr uint64_t kImageFileBytes = uint64_t{512} << 20;  // a JPEG or PNG, before it is decoded
constexpr int kJpegScans = 100;                            // encoders write 1 to 12; each walks the whole image
constexpr uint64_t kJpegScanPixels = uint64_t{1} << 31;    // scans times pixels
constexpr uint64_t kRleGroups = uint64_t{1} << 22;         // runs in the counts of one mask
constexpr uint64_t kPixels = 178956970;                    // of an image, on a machine with enough memory
constexpr uint64_t kLeastPixels = uint64_t{1} << 24;
constexpr uint64_t kBytesOfAPixel = 24;     // what reading, resizing and drawing may take, twice over
constexpr size_t kNameLineBytes = 1 << 16;  // a file's name on standard input
constexpr char kPixelsVariable[] = "EDGE_SEG_MAX_PIXELS";

// This machine's memory, or what a container may use of it where that is less: control groups (version 1 and 2) say so,
// each bound by those around it. `root` is the file system's.
uint64_t memory_bytes(const std::string& root = "");

// The most pixels of an image: kPixels, fewer where a 24th of memory_bytes() is fewer, but at least kLeastPixels. The
// environment variable EDGE_SEG_MAX_PIXELS sets another number.
uint64_t image_pixels();

// Throws Error (image-too-large) when an image of that name has more pixels.
void check_pixels(const std::string& name, uint64_t width, uint64_t height);

}  // namespace edge_seg
