#include "engines/requirements.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/error.h"

using namespace edge_seg;

namespace {

Manifest manifest_of(std::vector<std::string> needs, const std::string& precision = "fp32") {
    Manifest manifest;
    manifest.name = "test";
    manifest.precision = precision;
    manifest.needs = std::move(needs);
    return manifest;
}

template <typename Function>
std::string refusal(const Function& function) {
    try {
        function();
        return "";
    } catch (const Error& problem) {
        CHECK_FALSE(problem.remedy.empty());
        return problem.code;
    }
}

std::string on(const Manifest& manifest, const std::string& cpuinfo) {
    return refusal([&] { check_processor(manifest, cpuinfo); });
}

std::string with(const Manifest& manifest, const std::set<std::string>& built) {
    return refusal([&] { check_library(manifest, built); });
}

std::vector<uint8_t> code(const std::vector<uint32_t>& words, int repeats) {
    std::vector<uint8_t> bytes;
    for (int i = 0; i < repeats; ++i) {
        const auto* begin = reinterpret_cast<const uint8_t*>(words.data());
        bytes.insert(bytes.end(), begin, begin + 4 * words.size());
    }
    return bytes;
}

bool fp16_in(const std::vector<uint8_t>& bytes, bool arm64) {
    return computes_fp16(bytes.data(), bytes.size(), arm64);
}

constexpr char kMissing[] = "requirement-missing";

}  // namespace

TEST_CASE("fp16 needs a processor that has it, on every core") {
    const std::string old = "processor\t: 0\nFeatures\t: fp asimd crc32\n\n";
    const std::string fp16 = "processor\t: 1\nFeatures\t: fp asimd fphp asimdhp asimddp\n\n";
    for (const Manifest& manifest : {manifest_of({"extra", "fp16"}), manifest_of({"extra"}, "fp16")}) {
        CHECK(on(manifest, old) == kMissing);
        CHECK(on(manifest, old + fp16) == kMissing);
        CHECK(on(manifest, fp16 + old) == kMissing);
        CHECK(on(manifest, "") == kMissing);
        CHECK(on(manifest, "Features\t: asimdhpx\n") == kMissing);
        CHECK(on(manifest, fp16) == "");
    }
    CHECK(on(manifest_of({"extra"}), old) == "");
    CHECK(on(manifest_of({"extra", "opencl"}, "fp16"), old) == "");  // the GPU computes
}

TEST_CASE("what the library must have been built with") {
    CHECK(with(manifest_of({"extra"}), {}) == "");
    CHECK(with(manifest_of({}), {}) == "");
    CHECK(with(manifest_of({"extra", "fp16"}), {}) == kMissing);
    CHECK(with(manifest_of({"extra", "fp16"}), {"fp16"}) == "");
    CHECK(with(manifest_of({}, "fp16"), {}) == kMissing);
    CHECK(with(manifest_of({"opencl"}), {"fp16"}) == kMissing);
    CHECK(with(manifest_of({"a later need"}), {"fp16", "opencl"}) == kMissing);
}

// Encodings as GNU as writes them.
TEST_CASE("code that computes in fp16 is known") {
    const std::vector<uint32_t> fp16 = {0x4e5f0c41, 0x4f351883, 0x4f0f13ff},
                                fp32 = {0x4f8f13ff, 0x4e20cc00, 0xd65f03c0};
    CHECK(fp16_in(code(fp16, 100), true));
    CHECK_FALSE(fp16_in(code(fp16, 3), true));
    CHECK_FALSE(fp16_in(code(fp32, 10000), true));
    CHECK_FALSE(fp16_in({}, true));
    CHECK(fp16_in(code({0xf2100c50, 0xf25eecfe}, 60), false));
    std::vector<uint8_t> thumb = code({0x0c50ef10, 0xecfeef5e}, 60);  // little endian: half words change places
    thumb.insert(thumb.begin(), {0, 0});
    CHECK(fp16_in(thumb, false));
    CHECK_FALSE(fp16_in(code({0xf24eecfe, 0xecfeef4e}, 1000), false));
}
