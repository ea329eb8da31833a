#include "core/sum_rows.h"

#include <algorithm>

namespace edge_seg {
namespace {

// out[i] = the sum of weights[k] * in[k * step + i], for i below kLength.
template <int kCount, size_t kLength>
inline void sum_block(const float* in, size_t step, const float* weights, float* out) {
    float sums[kLength];
    for (size_t i = 0; i < kLength; ++i) sums[i] = weights[0] * in[i];
    for (size_t k = 1; k < kCount; ++k) {
        for (size_t i = 0; i < kLength; ++i) sums[i] += weights[k] * in[k * step + i];
    }
    std::copy(sums, sums + kLength, out);
}

// The same for i below `length`.
template <int kCount>
void sum_rows(const float* in, size_t step, const float* weights, size_t length, float* out) {
    constexpr size_t kBlock = 32;  // eight vector registers of sums, which stay there for all rows
    float known[kCount];
    std::copy(weights, weights + kCount, known);
    size_t i = 0;
    for (; i + kBlock <= length; i += kBlock) sum_block<kCount, kBlock>(in + i, step, known, out + i);
    for (; i < length; ++i) sum_block<kCount, 1>(in + i, step, known, out + i);
}

void add_row(const float* in, float weight, size_t length, float* __restrict out) {
    for (size_t i = 0; i < length; ++i) out[i] += weight * in[i];
}

}  // namespace

void sum_rows(const float* in, size_t step, const float* weights, int count, size_t length, float* out) {
    constexpr int kTogether = 5;  // for six, GCC 12 makes more instructions than for five and one
    switch (std::min(count, kTogether)) {
        case 0:
            std::fill(out, out + length, 0.0F);
            break;
        case 1:
            sum_rows<1>(in, step, weights, length, out);
            break;
        case 2:
            sum_rows<2>(in, step, weights, length, out);
            break;
        case 3:
            sum_rows<3>(in, step, weights, length, out);
            break;
        case 4:
            sum_rows<4>(in, step, weights, length, out);
            break;
        default:
            sum_rows<kTogether>(in, step, weights, length, out);
    }
    for (int k = kTogether; k < count; ++k) add_row(in + static_cast<size_t>(k) * step, weights[k], length, out);
}

}  // namespace edge_seg
