#include "core/workers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>

using edge_seg::Workers;

TEST_CASE("each piece of work is done once, by any number of threads, again and again") {
    for (const int threads : {0, 1, 2, 5}) {
        Workers workers(threads);
        for (size_t count = 0; count < 40; ++count) {
            std::vector<std::atomic<int>> done(count);
            workers.each(count, [&](size_t i) { ++done[i]; });
            for (const auto& times : done) CHECK(times == 1);
        }
    }
}

TEST_CASE("what a piece of work throws is thrown, and the next work is done") {
    for (const int threads : {1, 3}) {
        Workers workers(threads);
        CHECK_THROWS_AS(workers.each(9,
                                     [](size_t i) {
                                         if (i == 4) throw std::out_of_range("4");
                                     }),
                        std::out_of_range);
        std::atomic<int> sum{0};
        workers.each(9, [&](size_t i) { sum += static_cast<int>(i); });
        CHECK(sum == 36);
    }
}
