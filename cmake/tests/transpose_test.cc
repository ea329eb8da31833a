#include "core/transpose.h"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

TEST_CASE("columns become rows, whatever the sides, and nothing else is written") {
    for (const size_t rows : {1, 3, 4, 49, 64}) {
        for (const size_t columns : {1, 5, 15, 16, 17, 40}) {
            const size_t in_step = columns + 3, out_step = rows + 2;
            std::vector<float> in(rows * in_step), out(columns * out_step, -1);
            std::iota(in.begin(), in.end(), 0.0F);
            edge_seg::transpose(in.data(), rows, columns, in_step, out.data(), out_step);
            size_t wrong = 0;
            for (size_t c = 0; c < columns; ++c) {
                for (size_t r = 0; r < out_step; ++r) {
                    wrong += out[c * out_step + r] != (r < rows ? in[r * in_step + c] : -1);
                }
            }
            CHECK(wrong == 0);
        }
    }
}
