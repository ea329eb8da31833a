// Arrays that go into and come out of graphs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

enum class DType { kFloat32, kInt32, kInt64 };

using Shape = std::vector<int64_t>;

// No tensor of a model is nearly as large; it keeps sizes within 32 bits.
constexpr int64_t kMostValues = int64_t{1} << 28;

const char* name_of(DType dtype);         // "float32", as numpy calls it
size_t size_of(DType dtype);              // bytes of one value
int64_t count_of(const Shape& shape);     // values
std::string text_of(const Shape& shape);  // "[1, 3, 320, 320]"

// A view of an array that someone else owns.
struct Tensor {
    DType dtype = DType::kFloat32;
    Shape shape;
    const void* data = nullptr;

    const float* floats() const { return static_cast<const float*>(data); }
    int64_t count() const { return count_of(shape); }
};

}  // namespace edge_seg
