#include "engines/requirements.h"

#include <link.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace edge_seg {
namespace {

constexpr char kExtra[] = "extra", kFp16[] = "fp16", kOpenCl[] = "opencl";
constexpr std::string_view kOpenClLoader = "libOpenCL.so";
constexpr int kEnough = 100;  // instructions; data between functions may look like a few

std::set<std::string> needs_of(const Manifest& manifest) {
    std::set<std::string> needs(manifest.needs.begin(), manifest.needs.end());
    if (manifest.precision == kFp16 && needs.count(kOpenCl) == 0) needs.insert(kFp16);
    return needs;
}

// Whether every core has the feature; on a board with several kinds, threads go anywhere.
bool has_feature(const std::string& cpuinfo, const std::string& feature) {
    bool found = false;
    std::istringstream lines(cpuinfo);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("Features", 0) != 0) continue;
        std::istringstream words(line);
        std::string word;
        bool here = false;
        while (words >> word) here = here || word == feature;
        if (!here) return false;
        found = true;
    }
    return found;
}

uint32_t word_at(const uint8_t* at) {
    uint32_t word;
    std::memcpy(&word, at, sizeof word);  // both are little endian
    return word;
}

// FMLA of eight halves, by vector or by element.
bool is_arm64_fp16(uint32_t word) {
    return (word & 0xFFE0FC00) == 0x4E400C00 || (word & 0xFFC0F400) == 0x4F001000;
}

// VFMA.F16 of eight halves, as Arm and as Thumb encode it.
bool is_arm32_fp16(uint32_t word) {
    const uint32_t thumb = word << 16 | word >> 16;
    return (word & 0xFFB00F50) == 0xF2100C50 || (thumb & 0xFFB00F50) == 0xEF100C50;
}

struct Segments {
    std::string library;
    std::vector<std::pair<const uint8_t*, size_t>> code, all;
};

int collect(dl_phdr_info* info, size_t, void* data) {
    auto& segments = *static_cast<Segments*>(data);
    if (std::string(info->dlpi_name).find(segments.library) == std::string::npos) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD || (header.p_flags & PF_R) == 0) continue;
        const auto* const begin = reinterpret_cast<const uint8_t*>(info->dlpi_addr + header.p_vaddr);
        segments.all.emplace_back(begin, header.p_filesz);
        if ((header.p_flags & PF_X) != 0) segments.code.emplace_back(begin, header.p_filesz);
    }
    return 1;
}

}  // namespace

void check_processor(const Manifest& manifest, const std::string& cpuinfo) {
    if (needs_of(manifest).count(kFp16) == 0 || has_feature(cpuinfo, "asimdhp")) return;
    throw Error("requirement-missing",
                "the bundle '" + manifest.name +
                    "' computes in fp16 (Arm v8.2, the feature asimdhp), which this processor can't",
                "convert with another recipe, such as arm-fp32 or arm-int8");
}

void check_library(const Manifest& manifest, const std::set<std::string>& built_with) {
    for (const std::string& need : needs_of(manifest)) {
        // Without the extra kernels the runner isn't built (FindPaddleLite.cmake).
        if (need == kExtra || built_with.count(need) > 0) continue;
        if (need == kFp16 || need == kOpenCl) {
            throw Error(
                "requirement-missing",
                "the bundle '" + manifest.name + "' needs a Paddle Lite built with " + need + ", and this one isn't",
                "use a library built with " + need + ", or convert with another recipe, such as arm-fp32");
        }
        throw Error("requirement-missing",
                    "the bundle '" + manifest.name + "' requires '" + need + "', which this runner doesn't know",
                    "use a runner of the version that made the bundle");
    }
}

bool computes_fp16(const uint8_t* code, size_t size, bool arm64) {
    const size_t step = arm64 ? 4 : 2;  // Thumb's instructions begin at any half word
    int found = 0;
    for (size_t at = 0; at + 4 <= size && found < kEnough; at += step) {
        const uint32_t word = word_at(code + at);
        found += (arm64 ? is_arm64_fp16(word) : is_arm32_fp16(word)) ? 1 : 0;
    }
    return found >= kEnough;
}

std::set<std::string> built_into(const std::string& library) {
    Segments segments{library, {}, {}};
    dl_iterate_phdr(collect, &segments);
    std::set<std::string> found;
    for (const auto& [begin, size] : segments.code) {
        if (computes_fp16(begin, size, sizeof(void*) == 8)) found.insert(kFp16);
    }
    for (const auto& [begin, size] : segments.all) {
        const uint8_t* const end = begin + size;
        if (std::search(begin, end, kOpenClLoader.begin(), kOpenClLoader.end()) != end) found.insert(kOpenCl);
    }
    return found;
}

}  // namespace edge_seg
