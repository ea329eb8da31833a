#include "core/rle.h"

#include <algorithm>
#include <stdexcept>

#include "core/limits.h"

namespace edge_seg {

// As in COCO's maskApi.c: from the fourth run on the difference to the last but one, in groups of five bits, lowest
// first, with a sixth bit that says that more follow, as characters from "0" on.
std::string encode_changes(const std::vector<int64_t>& places, int64_t size) {
    std::string text;
    int64_t before = 0, last = 0, last_but_one = 0;
    for (size_t i = 0; i <= places.size(); ++i) {
        const int64_t end = i < places.size() ? places[i] : size;
        const int64_t run = end - before;
        int64_t value = i > 2 ? run - last_but_one : run;
        before = end, last_but_one = last, last = run;
        for (bool more = true; more;) {
            const auto group = static_cast<int>(value & 31);
            value >>= 5;
            more = (group & 16) != 0 ? value != -1 : value != 0;
            text += static_cast<char>(group + (more ? 80 : 48));
        }
    }
    return text;
}

std::vector<int64_t> decode_runs(const std::string& code, int64_t size) {
    const auto require = [](bool holds) {
        if (!holds) throw std::invalid_argument("not a COCO run-length code");
    };
    std::vector<int64_t> runs;
    int64_t total = 0;
    for (size_t at = 0; at < code.size();) {
        int64_t value = 0;
        int shift = 0;
        for (bool more = true; more; shift += 5) {
            require(at < code.size() && shift < 60 && runs.size() < kRleGroups);
            const int group = code[at++] - 48;
            require(group >= 0 && group < 64);
            value |= static_cast<int64_t>(group & 31) << shift;
            more = (group & 32) != 0;
            if (!more && (group & 16) != 0) value -= int64_t{1} << (shift + 5);
        }
        if (runs.size() > 2) value += runs[runs.size() - 2];
        require(value >= 0 && value <= size);
        runs.push_back(value);
        total += value;
        require(total <= size);
    }
    require(total == size);
    return runs;
}

Overlap overlap_of(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    Overlap out;
    size_t i = 0, j = 0;
    int64_t rest_a = a.empty() ? 0 : a[0], rest_b = b.empty() ? 0 : b[0];
    while (i < a.size() && j < b.size()) {
        const int64_t step = std::min(rest_a, rest_b);
        const bool in_a = i % 2 == 1, in_b = j % 2 == 1;
        if (in_a && in_b) out.both += step;
        if (in_a || in_b) out.either += step;
        rest_a -= step, rest_b -= step;
        if (rest_a == 0 && ++i < a.size()) rest_a = a[i];
        if (rest_b == 0 && ++j < b.size()) rest_b = b[j];
    }
    return out;
}

}  // namespace edge_seg
