// COCO's run-length codes of masks: run lengths down the columns, zeros first, compressed to text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

// The code of a mask of `size` pixels whose value changes at `places` (rising, no two alike, each below `size`).
std::string encode_changes(const std::vector<int64_t>& places, int64_t size);

// The run lengths of a code. Throws std::invalid_argument when it isn't one of a mask of `size` pixels.
std::vector<int64_t> decode_runs(const std::string& code, int64_t size);

struct Overlap {
    int64_t both = 0, either = 0;  // pixels
};
// How far two masks of one size, given by their run lengths, agree.
Overlap overlap_of(const std::vector<int64_t>& a, const std::vector<int64_t>& b);

}  // namespace edge_seg
