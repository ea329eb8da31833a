#include "images/orientation.h"

#include <utility>

namespace edge_seg {
namespace {

constexpr uint32_t kOrientationTag = 0x0112, kTiffMark = 42;
constexpr size_t kEntrySize = 12, kValueAt = 8;

class Tiff {
  public:
    Tiff(const uint8_t* data, size_t size)
        : data_(data), size_(size), little_(size > 1 && data[0] == 'I' && data[1] == 'I') {}

    bool has(size_t at, size_t count) const { return count <= size_ && at <= size_ - count; }
    uint32_t u16(size_t at) const {
        return little_ ? uint32_t{data_[at]} | uint32_t{data_[at + 1]} << 8
                       : uint32_t{data_[at]} << 8 | uint32_t{data_[at + 1]};
    }
    uint32_t u32(size_t at) const { return little_ ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2); }

  private:
    const uint8_t* data_;
    size_t size_;
    bool little_;
};

}  // namespace

int exif_orientation(const uint8_t* data, size_t size) {
    const Tiff tiff(data, size);
    // As OpenCV does it: what isn't marked as little-endian is big-endian, whatever its mark says.
    if (!tiff.has(0, 8) || tiff.u16(2) != kTiffMark) return 1;
    const size_t folder = tiff.u32(4);
    if (!tiff.has(folder, 2)) return 1;
    const size_t entries = tiff.u16(folder);
    for (size_t i = 0; i < entries; ++i) {
        const size_t at = folder + 2 + i * kEntrySize;
        if (!tiff.has(at, 2)) return 1;
        if (tiff.u16(at) != kOrientationTag) continue;
        if (!tiff.has(at + kValueAt, 2)) return 1;
        const uint32_t value = tiff.u16(at + kValueAt);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

Image upright(Image image, int orientation) {
    if (orientation <= 1 || orientation > 8) return image;
    // The eight are the ways to go from the upright image's (x, y) to the stored one's: swap, then mirror.
    const bool swap = orientation >= 5;
    const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Image out(swap ? image.height : image.width, swap ? image.width : image.height);
    for (int y = 0; y < out.height; ++y) {
        uint8_t* to = out.row(y);
        for (int x = 0; x < out.width; ++x, to += 3) {
            const int column = swap ? y : x, line = swap ? x : y;
            const uint8_t* from = image.row(mirror_y ? image.height - 1 - line : line) +
                                  3 * (mirror_x ? image.width - 1 - column : column);
            to[0] = from[0], to[1] = from[1], to[2] = from[2];
        }
    }
    return out;
}

}  // namespace edge_seg
