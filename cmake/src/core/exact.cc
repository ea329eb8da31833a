#include "core/exact.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace edge_seg {
namespace {

constexpr double kLowest = -87.0, kHighest = 88.0;
constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;
// 1 / n!, from n = 9 down.
constexpr std::array<double, 10> kTerms{1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                        1.0 / 24,     1.0 / 6,     1.0 / 2,    1.0,       1.0};

}  // namespace

double exact_exp(float x) {
    double held = std::min(std::max(static_cast<double>(x), kLowest), kHighest);
    const double power = std::floor(held * kLog2E + 0.5);
    held -= power * kLn2;
    double result = kTerms[0];
    for (size_t i = 1; i < kTerms.size(); ++i) result = result * held + kTerms[i];
    return std::ldexp(result, static_cast<int>(power));
}

float exact_sigmoid(float x) {
    return static_cast<float>(1.0 / (1.0 + exact_exp(-x)));
}

void exact_softmax(const float* logits, size_t count, float* scores) {
    if (count == 0) return;
    const float most = *std::max_element(logits, logits + count);
    std::vector<double> parts(count);
    double total = 0;
    for (size_t i = 0; i < count; ++i) {
        parts[i] = exact_exp(logits[i] - most);
        total += parts[i];
    }
    for (size_t i = 0; i < count; ++i) scores[i] = static_cast<float>(parts[i] / total);
}

}  // namespace edge_seg
