#include "video/byte_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "runner/interrupt.h"

namespace edge_seg {
namespace {

constexpr size_t kLeast = size_t{1} << 16;  // bytes asked for at once

}  // namespace

ByteStream::~ByteStream() {
    close(file_);
}

bool ByteStream::has(size_t count) {
    if (size() >= count) return true;
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(begin_));
    begin_ = 0;
    while (buffer_.size() < count) {
        wait_for_input(file_);
        const size_t before = buffer_.size();
        buffer_.resize(before + std::max(count - before, kLeast));
        const ssize_t got = read(file_, buffer_.data() + before, buffer_.size() - before);
        const int problem = errno;
        buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
        if (got == 0) return false;
        if (got < 0 && problem != EINTR && problem != EAGAIN) {
            throw Error("video-unreadable", name_ + ": can't be read: " + std::generic_category().message(problem),
                        "check the file and its disk");
        }
    }
    return true;
}

}  // namespace edge_seg
