#include "images/write_png.h"

#include <fcntl.h>
#include <png.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "images/decoders.h"

namespace edge_seg {
namespace {

constexpr char kMark[] = ".edge-seg-partial-";  // as edge_seg/files.py names unfinished files

std::vector<uint8_t> encode(const Image& image) {
    png_image header{};
    header.version = PNG_IMAGE_VERSION;
    header.width = static_cast<png_uint_32>(image.width);
    header.height = static_cast<png_uint_32>(image.height);
    header.format = PNG_FORMAT_BGR;
    header.flags = PNG_IMAGE_FLAG_FAST;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
    std::vector<uint8_t> content(size);
    if (png_image_write_to_memory(&header, content.data(), &size, 0, image.bgr.data(), 0, nullptr) == 0) {
        throw DecodeError(header.message);
    }
    content.resize(size);
    return content;
}

bool write_all(int file, const std::vector<uint8_t>& content) {
    for (size_t written = 0; written < content.size();) {
        const ssize_t count = write(file, content.data() + written, content.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return false;
        written += static_cast<size_t>(count);
    }
    return fsync(file) == 0;
}

}  // namespace

void write_png(const std::string& path, const Image& image) {
    const std::vector<uint8_t> content = encode(image);
    const size_t slash = path.rfind('/') + 1;  // 0 when there is none
    const std::string partial =
        path.substr(0, slash) + kMark + path.substr(slash, 100) + "-" + std::to_string(getpid());
    const int file = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool done = file >= 0 && write_all(file, content);
    int problem = errno;
    if (file >= 0 && close(file) != 0 && done) {
        problem = errno;
        done = false;
    }
    if (done && rename(partial.c_str(), path.c_str()) != 0) {
        problem = errno;
        done = false;
    }
    if (!done) {
        if (file >= 0) unlink(partial.c_str());
        throw std::system_error(problem, std::generic_category(), path);
    }
}

}  // namespace edge_seg
