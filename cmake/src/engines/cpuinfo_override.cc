#include "engines/cpuinfo_override.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

namespace edge_seg {
namespace {

constexpr char kFile[] = "/proc/cpuinfo";

// Parts (Arm's, implementer 0x41) that Paddle Lite 2.13 doesn't know -> parts that it knows, of the same design.
// 0xd40, Neoverse V1, is what it takes for a Cortex-A76.
const std::map<std::string, std::string> kTwins = {
    {"0xd0b", "0xd40"},  // Cortex-A76: Raspberry Pi 5, big cores of RK3588
    {"0xd0c", "0xd40"},  // Neoverse N1, a Cortex-A76 for servers
    {"0xd0e", "0xd40"},  // Cortex-A76AE
    {"0xd42", "0xd41"},  // Cortex-A78AE: Jetson Orin
    {"0xd4b", "0xd41"},  // Cortex-A78C
};

const std::string* g_shown = nullptr;

// "CPU part\t: 0xd0b" -> "0xd0b" when the line's key is `key`, else "".
std::string value_of(const std::string& line, const char* key) {
    const size_t colon = line.find(": ");
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) return "";
    return line.substr(colon + 2);
}

}  // namespace

std::string read_cpuinfo() {
    std::ifstream file(kFile);
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

CorrectedCpu correct_cpu(const std::string& cpuinfo) {
    CorrectedCpu corrected;
    std::istringstream lines(cpuinfo);
    bool dot_products = false, arm = false;
    for (std::string line; std::getline(lines, line);) {
        // In each core's paragraph features and implementer stand before the part.
        if (line.rfind("Features", 0) == 0) dot_products = (line + " ").find(" asimddp ") != std::string::npos;
        if (line.rfind("CPU implementer", 0) == 0) arm = value_of(line, "CPU implementer") == "0x41";
        const std::string part = value_of(line, "CPU part");
        const auto twin = kTwins.find(part);
        if (twin != kTwins.end() && arm && dot_products) {
            line.replace(line.size() - part.size(), part.size(), twin->second);
            corrected.parts[part] = twin->second;
        }
        corrected.text += line + "\n";
    }
    return corrected;
}

CpuinfoOverride::CpuinfoOverride(std::string text) : text_(std::move(text)) {
    g_shown = &text_;
}

CpuinfoOverride::~CpuinfoOverride() {
    g_shown = nullptr;
}

}  // namespace edge_seg

// Stands before the C library's, also for the shared libraries that this program is linked with.
extern "C" __attribute__((visibility("default"))) FILE* fopen(const char* name, const char* mode) {
    using Open = FILE* (*)(const char*, const char*);
    static const auto original = reinterpret_cast<Open>(dlsym(RTLD_NEXT, "fopen"));
    const std::string* shown = edge_seg::g_shown;
    if (shown == nullptr || std::strcmp(name, edge_seg::kFile) != 0) return original(name, mode);
    return fmemopen(const_cast<char*>(shown->data()), shown->size(), "r");
}
