#include "core/tensor.h"

namespace edge_seg {

const char* name_of(DType dtype) {
    switch (dtype) {
        case DType::kFloat32:
            return "float32";
        case DType::kInt32:
            return "int32";
        case DType::kInt64:
            return "int64";
    }
    return "unknown";
}

size_t size_of(DType dtype) {
    return dtype == DType::kInt64 ? 8 : 4;
}

int64_t count_of(const Shape& shape) {
    int64_t count = 1;
    for (const int64_t side : shape) count *= side;
    return count;
}

std::string text_of(const Shape& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

}  // namespace edge_seg
