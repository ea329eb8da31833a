#include "images/from_pixels.h"

#include <doctest/doctest.h>

#include <cstdint>

#include "core/error.h"

using edge_seg::Error;
using edge_seg::Image;
using edge_seg::image_from;

TEST_CASE("rows with gaps, and both orders of the channels") {
    const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12};
    const Image bgr = image_from(pixels.data(), 2, 2, 7, false);
    const std::vector<uint8_t> as_given = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    CHECK(bgr.bgr == as_given);
    const Image rgb = image_from(pixels.data(), 2, 2, 7, true);
    const std::vector<uint8_t> turned = {3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10};
    CHECK(rgb.bgr == turned);
    CHECK((rgb.width == 2 && rgb.height == 2));
}

TEST_CASE("what is no image") {
    const uint8_t pixel[3] = {};
    CHECK_THROWS_AS(image_from(pixel, 0, 1, 3, false), Error);
    CHECK_THROWS_AS(image_from(pixel, 1, -1, 3, false), Error);
    CHECK_THROWS_AS(image_from(pixel, 1, 1, 2, false), Error);
    CHECK_THROWS_AS(image_from(pixel, 2000000000, 2000000000, SIZE_MAX, false), Error);
}
