#include "core/limits.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/error.h"

namespace edge_seg {
namespace {

constexpr size_t kMostDigits = 12;
constexpr size_t kLongestNumber = 20;  // digits of 2^64

// 0 unless it is a whole number above 0.
uint64_t number_in(const std::string& text) {
    const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    return digits && !text.empty() && text.size() <= kMostDigits ? std::stoull(text) : 0;
}

// The number in a file; none for "max", and where there is no file.
uint64_t limit_in(const std::string& path) {
    std::string text;
    std::ifstream(path) >> text;
    const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    return digits && !text.empty() && text.size() < kLongestNumber ? std::stoull(text) : UINT64_MAX;
}

}  // namespace

uint64_t memory_bytes(const std::string& root) {
    uint64_t least = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
    std::ifstream groups(root + "/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const bool unified = controllers == ",,";
        if (!unified && controllers.find(",memory,") == std::string::npos) continue;
        std::string place = root + (unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
        const std::string file = unified ? "/memory.max" : "/memory.limit_in_bytes";
        least = std::min(least, limit_in(place + file));
        std::stringstream parts(line.substr(second + 1));
        for (std::string part; std::getline(parts, part, '/');) {
            if (part.empty() || part == "..") continue;
            place += "/" + part;
            least = std::min(least, limit_in(place + file));
        }
    }
    return least;
}

uint64_t image_pixels() {
    const char* const setting = std::getenv(kPixelsVariable);
    if (const uint64_t set = number_in(setting == nullptr ? "" : setting)) return set;
    static const uint64_t memory = memory_bytes();
    return std::max(kLeastPixels, std::min(kPixels, memory / kBytesOfAPixel));
}

void check_pixels(const std::string& name, uint64_t width, uint64_t height) {
    const uint64_t most = image_pixels();
    if (width * height <= most) return;
    throw Error("image-too-large",
                name + ": " + std::to_string(width) + " x " + std::to_string(height) + " pixels, expected at most " +
                    std::to_string(most),
                std::string("make it smaller, or set ") + kPixelsVariable + " if this machine has the memory");
}

}  // namespace edge_seg
