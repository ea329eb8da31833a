// What a camera's driver writes into memory, as an image.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/image.h"

namespace edge_seg {

struct CameraFormat {
    uint32_t pixels = 0;  // Video4Linux's four letters: one of kCameraPixels
    int width = 0, height = 0;
    size_t row = 0;  // bytes from a row to the next, of the first plane
    bool full = false;
};

struct CameraPlane {
    const uint8_t* data;
    size_t size;
};

// In the order in which they are asked for: Motion JPEG, YUYV, NV12, and NV12 in two planes (NM12).
extern const std::vector<uint32_t> kCameraPixels;

bool is_read(uint32_t pixels);

// Throws Error (image-unreadable) for a frame that is damaged or cut short. `name` is the camera's, for messages.
Image camera_image(const CameraFormat& format, const std::vector<CameraPlane>& planes, const std::string& name);

}  // namespace edge_seg
