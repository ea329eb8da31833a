// Values that OpenCV gave; tests/native compares many more.
#include "core/resize.h"

#include <doctest/doctest.h>

using edge_seg::Image;
using edge_seg::ResizePlan;
using edge_seg::Resizer;

namespace {

// A grey image of one row or more.
Image grey(int width, int height, const std::vector<int>& values) {
    Image image(width, height);
    for (size_t i = 0; i < image.bgr.size(); ++i) image.bgr[i] = static_cast<uint8_t>(values[i / 3]);
    return image;
}

std::vector<int> resized(const Image& image, int width, int height) {
    const ResizePlan plan(image.width, image.height, width, height);
    Resizer resizer(image, plan, 0);
    std::vector<int> out;
    for (int y = 0; y < height; ++y) {
        const uint8_t* row = resizer.next_row();
        for (int x = 0; x < width; ++x) out.push_back(row[3 * x]);
    }
    return out;
}

using Values = std::vector<int>;

}  // namespace

TEST_CASE("growing, shrinking, halving") {
    CHECK(resized(grey(2, 1, {0, 255}), 5, 1) == Values{0, 26, 128, 229, 255});
    CHECK(resized(grey(5, 1, {0, 10, 100, 200, 255}), 2, 1) == Values{8, 214});
    CHECK(resized(grey(1, 2, {0, 255}), 1, 5) == Values{0, 26, 128, 229, 255});
    CHECK(resized(grey(4, 2, {0, 1, 2, 3, 4, 5, 6, 8}), 2, 1) == Values{3, 5});
    CHECK(resized(grey(1, 1, {77}), 3, 2) == Values(6, 77));
}
