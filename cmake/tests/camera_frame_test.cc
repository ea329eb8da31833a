#include "video/camera_frame.h"

#include <doctest/doctest.h>

#include <linux/videodev2.h>

#include "core/error.h"

using namespace edge_seg;

namespace {

constexpr int kWidth = 5, kHeight = 3;
constexpr size_t kRow = 8;

// Brightness that rises from pixel to pixel; the colour is grey but for one block of 2 x 2 pixels.
struct Nv12 {
    std::vector<uint8_t> y = std::vector<uint8_t>(kRow * kHeight);
    std::vector<uint8_t> uv = std::vector<uint8_t>(kRow * 2, 128);

    Nv12() {
        for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<uint8_t>(16 + 5 * i);
        uv[kRow + 2] = 200;  // U of the pixels 2 and 3 of the last row
    }
    std::vector<uint8_t> whole() const {
        std::vector<uint8_t> all = y;
        all.insert(all.end(), uv.begin(), uv.end());
        return all;
    }
};

CameraFormat format_of(uint32_t pixels) {
    return {pixels, kWidth, kHeight, kRow, false};
}

std::string refusal(const CameraFormat& format, const std::vector<CameraPlane>& planes) {
    try {
        camera_image(format, planes, "test");
        return "";
    } catch (const Error& problem) {
        return problem.code;
    }
}

}  // namespace

TEST_CASE("NV12 in one plane and in two is the same image") {
    const Nv12 frame;
    const std::vector<uint8_t> whole = frame.whole();
    const Image one = camera_image(format_of(V4L2_PIX_FMT_NV12), {{whole.data(), whole.size()}}, "test");
    const Image two = camera_image(format_of(V4L2_PIX_FMT_NV12M),
                                   {{frame.y.data(), frame.y.size()}, {frame.uv.data(), frame.uv.size()}}, "test");
    CHECK(one.bgr == two.bgr);
    CHECK((one.width == kWidth && one.height == kHeight));
    CHECK(one.row(0)[0] == 0);  // black: brightness 16
    CHECK(one.row(0)[0] == one.row(0)[2]);
    CHECK(one.row(1)[3] == one.row(1)[5]);             // grey
    CHECK(one.row(2)[3 * 2] > one.row(2)[3 * 2 + 2]);  // bluer than red
    CHECK(one.row(2)[3 * 4] == one.row(2)[3 * 4 + 2]);
}

TEST_CASE("YUYV is read row by row") {
    std::vector<uint8_t> bytes(kRow * 2 * kHeight, 128);
    CameraFormat format = format_of(V4L2_PIX_FMT_YUYV);
    format.width = 4, format.row = 16;
    bytes[16] = 16;
    const Image image = camera_image(format, {{bytes.data(), bytes.size()}}, "test");
    CHECK(image.row(1)[0] == 0);
    CHECK(image.row(0)[0] == image.row(2)[9]);
    CHECK(image.row(0)[0] > 100);
}

TEST_CASE("frames cut short are refused") {
    const Nv12 frame;
    const std::vector<uint8_t> whole = frame.whole();
    const size_t needed = kRow * kHeight + kRow + 6;
    CHECK(refusal(format_of(V4L2_PIX_FMT_NV12), {{whole.data(), needed}}) == "");
    CHECK(refusal(format_of(V4L2_PIX_FMT_NV12), {{whole.data(), needed - 1}}) == "image-unreadable");
    CHECK(refusal(format_of(V4L2_PIX_FMT_NV12M), {{whole.data(), frame.y.size()}, {frame.uv.data(), kRow}}) ==
          "image-unreadable");
    CHECK(refusal(format_of(V4L2_PIX_FMT_YUYV), {{whole.data(), 20}}) == "image-unreadable");
    CHECK(refusal(format_of(V4L2_PIX_FMT_MJPEG), {{whole.data(), whole.size()}}) == "image-unreadable");
    CHECK(refusal(format_of(V4L2_PIX_FMT_NV12), {}) == "image-unreadable");
}
