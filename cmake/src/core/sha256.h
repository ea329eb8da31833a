// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace edge_seg {

class Sha256 {
  public:
    // `plain`: without instructions that only some processors have; the result is the same.
    explicit Sha256(bool plain = false) : plain_(plain) {}

    void update(const void* data, size_t size);
    std::string hex();  // 64 digits; nothing can be added after it

  private:
    void blocks(const uint8_t* data, size_t count);

    bool plain_;
    std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<uint8_t, 64> pending_{};
    size_t filled_ = 0;
    uint64_t bytes_ = 0;
};

// The file's SHA-256. Throws std::system_error when it can't be read.
std::string sha256_of_file(const std::string& path);

}  // namespace edge_seg
