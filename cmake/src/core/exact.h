// exp, sigmoid and softmax, the same to the last bit as edge_seg/runtime/exact.py, which tells the rules.
#pragma once

#include <cstddef>

namespace edge_seg {

// e ** x, x held to -87…88. Additions and multiplications in double, in a stated order.
double exact_exp(float x);

// 1 / (1 + exp(-x)).
float exact_sigmoid(float x);

// Of `count` logits the scores, which add up to 1. In place is allowed.
void exact_softmax(const float* logits, size_t count, float* scores);

}  // namespace edge_seg
