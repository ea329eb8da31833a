#include "images/orientation.h"

#include <doctest/doctest.h>

using edge_seg::exif_orientation;
using edge_seg::Image;
using edge_seg::upright;

namespace {

// 1 2 3
// 4 5 6
Image stored() {
    Image image(3, 2);
    for (size_t i = 0; i < image.bgr.size(); ++i) image.bgr[i] = static_cast<uint8_t>(i / 3 + 1);
    return image;
}

std::vector<int> values(const Image& image) {
    std::vector<int> out;
    for (size_t i = 0; i < image.bgr.size(); i += 3) out.push_back(image.bgr[i]);
    return out;
}

}  // namespace

TEST_CASE("the eight ways to hold a camera") {
    const std::vector<std::vector<int>> expected = {{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1},
                                                    {4, 5, 6, 1, 2, 3}, {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3},
                                                    {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
    for (int orientation = 1; orientation <= 8; ++orientation) {
        CAPTURE(orientation);
        const Image image = upright(stored(), orientation);
        CHECK(image.width == (orientation < 5 ? 3 : 2));
        CHECK(values(image) == expected[orientation - 1]);
    }
    CHECK(values(upright(stored(), 0)) == values(stored()));
    CHECK(values(upright(stored(), 9)) == values(stored()));
}

TEST_CASE("damaged EXIF means upright") {
    const std::vector<uint8_t> good = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
    CHECK(exif_orientation(good.data(), good.size()) == 6);
    // What stands behind the value isn't needed, to OpenCV neither.
    for (size_t size = 0; size < good.size() - 2; ++size) CHECK(exif_orientation(good.data(), size) == 1);
    for (const size_t at : {0, 1, 2, 7, 10, 18}) {
        auto bad = good;
        bad[at] = 0xFF;
        CHECK(exif_orientation(bad.data(), bad.size()) == 1);
    }
}
