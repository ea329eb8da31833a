#include "video/camera_frame.h"

#include <linux/videodev2.h>

#include <algorithm>

#include "core/error.h"
#include "images/read_image.h"
#include "images/yuv.h"

namespace edge_seg {
namespace {

void require(bool holds, const std::string& name) {
    if (holds) return;
    throw Error("image-unreadable", name + ": an image cut short", "use a better cable or a smaller size");
}

Image from_yuyv(const CameraFormat& format, const CameraPlane& plane, const std::string& name) {
    const size_t least = size_t{2} * format.width, row = std::max(format.row, least);
    require(plane.size >= row * (format.height - 1) + least, name);
    Image image(format.width, format.height);
    to_bgr({plane.data, plane.data + 1, plane.data + 3, row, row, 2, 4, 1, 0, format.full}, image);
    return image;
}

// Brightness, then pairs of colour differences for 2 x 2 pixels, in the same plane or in one of their own.
Image from_nv12(const CameraFormat& format, const std::vector<CameraPlane>& planes, const std::string& name) {
    const size_t width = format.width, row = std::max(format.row, (width + 1) / 2 * 2);
    const size_t bright = row * format.height, rows = (size_t{1} * format.height + 1) / 2;
    const size_t colors = row * (rows - 1) + (width + 1) / 2 * 2;
    const bool apart = planes.size() > 1;
    require(planes[0].size >= row * (format.height - 1) + width, name);
    require(apart ? planes[1].size >= colors : planes[0].size >= bright + colors, name);
    const uint8_t *y = planes[0].data, *uv = apart ? planes[1].data : y + bright;
    Image image(format.width, format.height);
    to_bgr({y, uv, uv + 1, row, row, 1, 2, 1, 1, format.full}, image);
    return image;
}

}  // namespace

const std::vector<uint32_t> kCameraPixels = {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_NV12,
                                             V4L2_PIX_FMT_NV12M};

bool is_read(uint32_t pixels) {
    return std::find(kCameraPixels.begin(), kCameraPixels.end(), pixels) != kCameraPixels.end();
}

Image camera_image(const CameraFormat& format, const std::vector<CameraPlane>& planes, const std::string& name) {
    require(!planes.empty() && format.width > 0 && format.height > 0, name);
    if (format.pixels == V4L2_PIX_FMT_MJPEG) {
        return decode_image({planes[0].data, planes[0].data + planes[0].size}, name);
    }
    if (format.pixels == V4L2_PIX_FMT_YUYV) return from_yuyv(format, planes[0], name);
    return from_nv12(format, planes, name);
}

}  // namespace edge_seg
