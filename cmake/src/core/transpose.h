// Transposed matrices.
#pragma once

#include <cstddef>

namespace edge_seg {

// The columns of a matrix, whose rows lie `in_step` values apart, become rows of `out`, `out_step` values apart.
void transpose(const float* in, size_t rows, size_t columns, size_t in_step, float* out, size_t out_step);

}  // namespace edge_seg
