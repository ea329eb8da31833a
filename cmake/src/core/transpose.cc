#include "core/transpose.h"

#include <algorithm>
#include <cstring>

namespace edge_seg {
namespace {

constexpr size_t kRows = 4;      // values of a vector register; with four, compilers interleave by one instruction
constexpr size_t kColumns = 16;  // values of a cache line

// Four rows of at most kColumns columns.
inline void transpose_tile(const float* in, size_t columns, size_t in_step, float* out, size_t out_step) {
    const float *first = in, *second = in + in_step, *third = second + in_step, *fourth = third + in_step;
    float tile[kColumns * kRows];
    for (size_t c = 0; c < columns; ++c) {
        tile[kRows * c] = first[c];
        tile[kRows * c + 1] = second[c];
        tile[kRows * c + 2] = third[c];
        tile[kRows * c + 3] = fourth[c];
    }
    for (size_t c = 0; c < columns; ++c) std::memcpy(out + c * out_step, tile + kRows * c, kRows * sizeof(float));
}

}  // namespace

void transpose(const float* in, size_t rows, size_t columns, size_t in_step, float* out, size_t out_step) {
    for (size_t column = 0; column < columns; column += kColumns) {
        const size_t width = std::min(kColumns, columns - column);
        const float* from = in + column;
        float* to = out + column * out_step;
        size_t row = 0;
        for (; row + kRows <= rows; row += kRows) {
            if (width == kColumns) {  // known to the compiler
                transpose_tile(from + row * in_step, kColumns, in_step, to + row, out_step);
            } else {
                transpose_tile(from + row * in_step, width, in_step, to + row, out_step);
            }
        }
        for (; row < rows; ++row) {
            for (size_t c = 0; c < width; ++c) to[c * out_step + row] = from[row * in_step + c];
        }
    }
}

}  // namespace edge_seg
