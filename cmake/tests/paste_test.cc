#include "core/paste.h"

#include <doctest/doctest.h>

#include <limits>

using edge_seg::paste;

TEST_CASE("a box filled with ones") {
    const std::vector<float> ones(28 * 28, 1.0F);
    // Half of the outermost cell lies beyond the map's values, where it falls to zero; at 0.5 that is the box's edge.
    CHECK(paste(ones.data(), 28, {2, 1, 4, 3}, 6, 4, 0.5F) == "92207");
    CHECK(paste(ones.data(), 28, {-1e4F, -1e4F, 1e4F, 1e4F}, 6, 4, 0.5F) == "0h0");
}

TEST_CASE("a box that holds no pixel has an empty mask") {
    const std::vector<float> ones(28 * 28, 1.0F);
    const float nothing = std::numeric_limits<float>::quiet_NaN(), most = std::numeric_limits<float>::max();
    const edge_seg::Box boxes[] = {{3, 3, 3, 3},
                                   {5, 5, 2, 9},
                                   {20, 2, 30, 8},
                                   {-9, -9, -1, -1},
                                   {2.6F, 2.6F, 3.4F, 3.4F},
                                   {most, 0, most, 5},
                                   {nothing, nothing, nothing, nothing}};
    for (const edge_seg::Box& box : boxes) CHECK(paste(ones.data(), 28, box, 12, 10, 0.5F) == "h3");
}
