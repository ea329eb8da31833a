#include "core/sha256.h"

#ifdef __aarch64__
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/file.h"

namespace edge_seg {
namespace {

constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using State = std::array<uint32_t, 8>;
using Blocks = void (*)(State& state, const uint8_t* data, size_t count);

constexpr size_t kBlock = 64;

uint32_t rotate(uint32_t value, int bits) {
    return (value >> bits) | (value << (32 - bits));
}

uint32_t word_at(const uint8_t* data) {
    return uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3];
}

// One round. The roles of the eight words move on by one, so eight rounds in a row need no copies.
inline void mix(uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f, uint32_t g, uint32_t& h,
                uint32_t word) {
    h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + word;
    d += h;
    h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (c & (a ^ b)));
}

void plain_blocks(State& state, const uint8_t* data, size_t count) {
    for (; count > 0; --count, data += kBlock) {
        uint32_t w[16] = {};
        auto [a, b, c, d, e, f, g, h] = state;
        for (int i = 0; i < 64; i += 16) {
            const uint32_t* k = &kRound[i];
            for (int j = 0; j < 16; ++j) {
                if (i == 0) {
                    w[j] = word_at(data + 4 * j);
                    continue;
                }
                const uint32_t second = w[(j + 1) & 15], last = w[(j + 14) & 15];
                w[j] += (rotate(second, 7) ^ rotate(second, 18) ^ (second >> 3)) + w[(j + 9) & 15] +
                        (rotate(last, 17) ^ rotate(last, 19) ^ (last >> 10));
            }
            for (int j = 0; j < 16; j += 8) {
                mix(a, b, c, d, e, f, g, h, k[j] + w[j]);
                mix(h, a, b, c, d, e, f, g, k[j + 1] + w[j + 1]);
                mix(g, h, a, b, c, d, e, f, k[j + 2] + w[j + 2]);
                mix(f, g, h, a, b, c, d, e, k[j + 3] + w[j + 3]);
                mix(e, f, g, h, a, b, c, d, k[j + 4] + w[j + 4]);
                mix(d, e, f, g, h, a, b, c, k[j + 5] + w[j + 5]);
                mix(c, d, e, f, g, h, a, b, k[j + 6] + w[j + 6]);
                mix(b, c, d, e, f, g, h, a, k[j + 7] + w[j + 7]);
            }
        }
        const State change = {a, b, c, d, e, f, g, h};
        for (int i = 0; i < 8; ++i) state[i] += change[i];
    }
}

#ifdef __aarch64__
// With the instructions that most 64-bit processors have (the Raspberry Pi 4's Cortex-A72 doesn't).
[[gnu::target("+crypto")]] void arm_blocks(State& state, const uint8_t* data, size_t count) {
    uint32x4_t abcd = vld1q_u32(&state[0]), efgh = vld1q_u32(&state[4]);
    for (; count > 0; --count, data += kBlock) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];
        for (int i = 0; i < 4; ++i) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
            const uint32x4_t words = vaddq_u32(w[i & 3], vld1q_u32(&kRound[4 * i])), old = abcd;
            if (i < 12) {
                w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
            }
            abcd = vsha256hq_u32(abcd, efgh, words);
            efgh = vsha256h2q_u32(efgh, old, words);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(&state[0], abcd);
    vst1q_u32(&state[4], efgh);
}
#endif

Blocks choose() {
#ifdef __aarch64__
    if ((getauxval(AT_HWCAP) & HWCAP_SHA2) != 0) return arm_blocks;
#endif
    return plain_blocks;
}

}  // namespace

void Sha256::blocks(const uint8_t* data, size_t count) {
    static const Blocks fastest = choose();
    (plain_ ? plain_blocks : fastest)(state_, data, count);
}

void Sha256::update(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    bytes_ += size;
    while (size > 0) {
        if (filled_ == 0 && size >= kBlock) {
            const size_t count = size / kBlock;
            blocks(bytes, count);
            bytes += count * kBlock, size -= count * kBlock;
            continue;
        }
        const size_t taken = std::min(size, kBlock - filled_);
        std::memcpy(pending_.data() + filled_, bytes, taken);
        bytes += taken, size -= taken, filled_ += taken;
        if (filled_ == kBlock) {
            blocks(pending_.data(), 1);
            filled_ = 0;
        }
    }
}

std::string Sha256::hex() {
    const uint64_t bits = bytes_ * 8;
    const uint8_t one = 0x80, zero = 0;
    update(&one, 1);
    while (filled_ != 56) update(&zero, 1);
    std::array<uint8_t, 8> length;
    for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
    update(length.data(), length.size());
    std::string text;
    for (const uint32_t word : state_) {
        for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(word >> shift) & 15];
    }
    return text;
}

std::string sha256_of_file(const std::string& path) {
    const OpenFile file = open_regular(path);
    Sha256 digest;
    std::vector<uint8_t> buffer(1 << 18);
    while (const size_t size = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
        digest.update(buffer.data(), size);
    }
    if (std::ferror(file.get())) throw std::system_error(errno, std::generic_category(), path);
    return digest.hex();
}

}  // namespace edge_seg
