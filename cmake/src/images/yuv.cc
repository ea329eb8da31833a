#include "images/yuv.h"

#include <algorithm>

namespace edge_seg {
namespace {

constexpr int kPlaces = 20, kHalf = 1 << (kPlaces - 1);

struct Matrix {
    int black, y, u_blue, u_green, v_green, v_red;
};
constexpr Matrix kLimited{16, 1220542, 2116026, -409993, -852492, 1673527};
constexpr Matrix kFull{0, 1 << kPlaces, 1858077, -360853, -748826, 1470104};

uint8_t to_byte(int value) {
    return static_cast<uint8_t>(std::clamp(value >> kPlaces, 0, 255));
}

}  // namespace

void to_bgr(const Yuv& yuv, Image& image) {
    const Matrix& m = yuv.full ? kFull : kLimited;
    for (int row = 0; row < image.height; ++row) {
        const uint8_t* y = yuv.y + yuv.y_row * row;
        const size_t chroma = yuv.chroma_row * (row >> yuv.shift_y);
        uint8_t* out = image.row(row);
        for (int x = 0; x < image.width; ++x, y += yuv.y_step, out += 3) {
            const size_t at = chroma + yuv.chroma_step * (x >> yuv.shift_x);
            const int bright = std::max(0, *y - m.black) * m.y + kHalf;
            const int u = yuv.u[at] - 128, v = yuv.v[at] - 128;
            out[0] = to_byte(bright + m.u_blue * u);
            out[1] = to_byte(bright + m.u_green * u + m.v_green * v);
            out[2] = to_byte(bright + m.v_red * v);
        }
    }
}

}  // namespace edge_seg
