#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace edge_seg {
namespace {

[[noreturn]] void fail(int number, const std::string& path) {
    throw std::system_error(number, std::generic_category(), path);
}

void require_regular(const struct stat& status, const std::string& path) {
    if (S_ISDIR(status.st_mode)) fail(EISDIR, path);
    if (!S_ISREG(status.st_mode)) fail(ENODEV, path);
}

}  // namespace

OpenFile open_regular(const std::string& path) {
    struct stat status {};
    // Looked at before, since opening a device may have effects, and after, since the name may mean another file now.
    if (stat(path.c_str(), &status) != 0) fail(errno, path);
    require_regular(status, path);
    const int number = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (number < 0) fail(errno, path);
    OpenFile file(fdopen(number, "rb"), std::fclose);
    if (!file) {
        close(number);
        fail(ENOMEM, path);
    }
    if (fstat(number, &status) != 0) fail(errno, path);
    require_regular(status, path);
    return file;
}

std::vector<uint8_t> read_file(const std::string& path, uint64_t most) {
    const OpenFile file = open_regular(path);
    std::vector<uint8_t> content;
    size_t filled = 0;
    do {
        // Files under /proc have no size, and others may grow: what counts is what is read.
        content.resize(filled + (size_t{1} << 20));
        filled += std::fread(content.data() + filled, 1, content.size() - filled, file.get());
        if (filled > most) fail(EFBIG, path);
    } while (filled == content.size());
    if (std::ferror(file.get())) fail(errno, path);
    content.resize(filled);
    return content;
}

std::string reason_of(const std::system_error& problem, uint64_t most) {
    const int number = problem.code().value();
    if (number == ENODEV) return "not a regular file";
    if (number == EFBIG) return "larger than the limit of " + std::to_string(most >> 20) + " MiB";
    return problem.code().message();
}

}  // namespace edge_seg
