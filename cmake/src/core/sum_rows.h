// Weighted sums of a matrix's rows: what RoIAlign's time goes into.
#pragma once

#include <cstddef>

namespace edge_seg {

// out[i] = the sum of weights[k] * in[k * step + i] over `count` rows, for i below `length`. Fastest with up to five.
void sum_rows(const float* in, size_t step, const float* weights, int count, size_t length, float* out);

}  // namespace edge_seg
