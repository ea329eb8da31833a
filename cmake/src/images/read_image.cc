#include "images/read_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/limits.h"
#include "images/decoders.h"
#include "images/orientation.h"

namespace edge_seg {
namespace {

constexpr char kRemedy[] = "save it again as JPEG or PNG, or leave it out";
constexpr uint8_t kStartOfScan = 0xDA, kFill = 0xFF;
constexpr std::string_view kEndOfImage("\xFF\xD9", 2);

bool starts_with(const std::vector<uint8_t>& content, std::string_view begin) {
    return content.size() >= begin.size() && std::memcmp(content.data(), begin.data(), begin.size()) == 0;
}

bool holds(const std::vector<uint8_t>& content, size_t from, std::string_view wanted) {
    return std::search(content.begin() + from, content.end(), wanted.begin(), wanted.end(),
                       [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }) != content.end();
}

// Whether a JPEG has its end, without which the decoder would fill the rest with grey and pass it as good. Segments are
// walked up to the first scan, because a thumbnail inside one has an end marker of its own. In scan data 0xFF is always
// escaped, so the first end marker there is the image's.
bool jpeg_has_end(const std::vector<uint8_t>& content) {
    for (size_t at = 2; at + 4 <= content.size();) {
        if (content[at] != kFill) return true;  // not a segment: the decoder knows better what to make of it
        const uint8_t marker = content[at + 1];
        if (marker == kFill) {
            ++at;
            continue;
        }
        if (marker == kStartOfScan) return holds(content, at, kEndOfImage);
        at += 2 + (size_t{content[at + 2]} << 8 | content[at + 3]);
    }
    return false;
}

}  // namespace

Image decode_image(const std::vector<uint8_t>& content, const std::string& name) {
    const bool jpeg = starts_with(content, "\xFF\xD8\xFF");
    const bool png = starts_with(content, "\x89PNG\r\n\x1a\n");
    if (content.empty()) throw Error("image-unreadable", name + ": empty file, not an image", kRemedy);
    if (!jpeg && !png) {
        throw Error("image-unreadable", name + ": neither JPEG nor PNG, which are what this runner reads", kRemedy);
    }
    if (jpeg ? !jpeg_has_end(content) : !holds(content, 0, "IEND")) {
        throw Error("image-unreadable", name + ": cut short, its end is missing", kRemedy);
    }
    try {
        Decoded decoded = jpeg ? decode_jpeg(content, name) : decode_png(content, name);
        return upright(std::move(decoded.image), decoded.orientation);
    } catch (const DecodeError& problem) {
        throw Error("image-unreadable", name + ": damaged, or not an image (" + problem.what() + ")", kRemedy);
    } catch (const std::bad_alloc&) {
        throw Error("image-unreadable", name + ": too large for this machine's memory", "make it smaller");
    } catch (const std::length_error&) {
        throw Error("image-unreadable", name + ": too large for this machine's memory", "make it smaller");
    }
}

Image read_image(const std::string& path) {
    std::vector<uint8_t> content;
    try {
        content = read_file(path, kImageFileBytes);
    } catch (const std::system_error& problem) {
        const int number = problem.code().value();
        if (number == ENOENT) throw Error("image-missing", path + ": no such image", "check the path");
        if (number == EISDIR) throw Error("image-unreadable", path + ": a folder, not an image", "give an image file");
        throw Error("image-unreadable", path + ": can't be read: " + reason_of(problem, kImageFileBytes),
                    "check its name and permissions");
    }
    return decode_image(content, path);
}

}  // namespace edge_seg
