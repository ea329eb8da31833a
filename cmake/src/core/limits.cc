#include "core/limits.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/error.h"

namespace edge_seg {
namespace {

constexpr size_t kMostDigits = 12;

// 0 unless it is a whole number above 0.
uint64_t number_in(const std::string& text) {
    const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    return digits && !text.empty() && text.size() <= kMostDigits ? std::stoull(text) : 0;
}

}  // namespace

uint64_t image_pixels() {
    const char* const setting = std::getenv(kPixelsVariable);
    if (const uint64_t set = number_in(setting == nullptr ? "" : setting)) return set;
    const uint64_t memory =
        static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
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
