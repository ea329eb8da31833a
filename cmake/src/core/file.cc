#include "core/file.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace edge_seg {

std::vector<uint8_t> read_file(const std::string& path) {
    const auto fail = [&path] { throw std::system_error(errno, std::generic_category(), path); };
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) fail();
    std::vector<uint8_t> content;
    size_t filled = 0;
    do {
        content.resize(filled + (size_t{1} << 20));
        filled += std::fread(content.data() + filled, 1, content.size() - filled, file.get());
    } while (filled == content.size());
    if (std::ferror(file.get())) fail();
    content.resize(filled);
    return content;
}

}  // namespace edge_seg
