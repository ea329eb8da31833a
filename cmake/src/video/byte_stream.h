// Bytes of a file or a pipe, as they come; Ctrl-C ends the waiting for them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

class ByteStream {
  public:
    // Takes the open file descriptor over. `name` is for messages.
    ByteStream(int file, std::string name) : file_(file), name_(std::move(name)) {}
    ~ByteStream();
    ByteStream(const ByteStream&) = delete;
    ByteStream& operator=(const ByteStream&) = delete;

    const std::string& name() const { return name_; }

    // Sees to it that `count` bytes are there; false when it ends before. Throws Error.
    bool has(size_t count);
    const uint8_t* data() const { return buffer_.data() + begin_; }
    size_t size() const { return buffer_.size() - begin_; }  // bytes that are there
    void drop(size_t count) { begin_ += count; }

  private:
    int file_;
    std::string name_;
    std::vector<uint8_t> buffer_;
    size_t begin_ = 0;
};

}  // namespace edge_seg
