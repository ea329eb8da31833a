#include "core/rle.h"

#include <doctest/doctest.h>

#include <stdexcept>

using edge_seg::decode_runs;
using edge_seg::encode_changes;
using edge_seg::overlap_of;
using Places = std::vector<int64_t>;

TEST_CASE("codes are those of pycocotools") {
    CHECK(encode_changes({}, 6) == "6");                // nothing
    CHECK(encode_changes({0}, 6) == "06");              // all
    CHECK(encode_changes({1, 3}, 6) == "123");          // as it is up to the third run
    CHECK(encode_changes({1, 3, 4, 5}, 6) == "121O0");  // then differences, negative ones too
    CHECK(encode_changes({40, 2000}, 48000000) == "X1Xm1`Qih]1");
}

TEST_CASE("a code says again what was put in") {
    for (int64_t step : {1, 7, 31, 32, 1000, 65536}) {
        Places places;
        for (int64_t at = step / 2; at < 20 * step; at += step + static_cast<int64_t>(places.size()))
            places.push_back(at);
        const int64_t size = places.back() + step;
        Places found;
        int64_t at = 0;
        for (const int64_t run : decode_runs(encode_changes(places, size), size)) found.push_back(at += run);
        CHECK(found.back() == size);
        found.pop_back();
        CHECK(found == places);
    }
}

TEST_CASE("what is no code of such a mask is refused") {
    for (const char* code : {"", "5", "7", "33 ", "P", "\xff", "1O5", "oooooooooooooooo"}) {
        CAPTURE(code);
        CHECK_THROWS_AS(decode_runs(code, 6), std::invalid_argument);
    }
}

TEST_CASE("overlap") {
    const auto masks = [](const Places& a, const Places& b) {
        return overlap_of(decode_runs(encode_changes(a, 10), 10), decode_runs(encode_changes(b, 10), 10));
    };
    CHECK(masks({2, 6}, {4, 8}).both == 2);
    CHECK(masks({2, 6}, {4, 8}).either == 6);
    CHECK(masks({}, {}).either == 0);
    CHECK(masks({0}, {}).either == 10);
    CHECK(masks({0}, {0}).both == 10);
}
