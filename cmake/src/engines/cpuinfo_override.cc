#include "engines/cpuinfo_override.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "engines/arm_cores.h"

namespace edge_seg {
namespace {

constexpr char kFile[] = "/proc/cpuinfo";
constexpr char kProcessors[] = "/sys/devices/system/cpu/cpu";
constexpr char kCaches[] = "/cache/";
// The last that the library looks for, and that no processor has.
constexpr char kShownCache[] = "index9/";
constexpr int kOtherCaches = 9;

const std::string* g_shown = nullptr;

// "CPU part\t: 0xd0b" -> "0xd0b" when the line's key is `key`, else "".
std::string value_of(const std::string& line, const char* key) {
    const size_t colon = line.find(": ");
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) return "";
    return line.substr(colon + 2);
}

// "0xd40" for "0xd0b"; "" for a core that the library knows, or that nobody knows.
std::string shown_for(const std::string& part) {
    char* end = nullptr;
    const unsigned long number = std::strtoul(part.c_str(), &end, 16);
    for (const ArmCore& core : kArmCores) {
        if (part.empty() || *end != '\0' || core.part != number || core.shown == 0) continue;
        char text[8];
        std::snprintf(text, sizeof text, "0x%x", static_cast<unsigned>(core.shown));
        return text;
    }
    return "";
}

}  // namespace

std::string shown_cache(const std::string& name) {
    const size_t caches = name.find(kCaches);
    if (name.rfind(kProcessors, 0) != 0 || caches == std::string::npos) return "";
    const size_t index = caches + sizeof kCaches - 1;
    if (name.compare(index, sizeof kShownCache - 1, kShownCache) != 0) return "";
    for (int other = 0; other < kOtherCaches; ++other) {
        std::ifstream file(name.substr(0, index) + "index" + std::to_string(other) + "/size");
        int kib = 0;
        if (file >> kib && kib >= kLeastCacheKib) return "";
    }
    return name.substr(index + sizeof kShownCache - 1) == "level" ? "3\n" : std::to_string(kLeastCacheKib) + "K\n";
}

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
        const std::string shown = shown_for(part);
        if (!shown.empty() && arm && dot_products) {
            line.replace(line.size() - part.size(), part.size(), shown);
            corrected.parts[part] = shown;
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
    if (shown == nullptr) return original(name, mode);
    if (std::strcmp(name, edge_seg::kFile) == 0) return fmemopen(const_cast<char*>(shown->data()), shown->size(), "r");
    static thread_local std::string cache;
    cache = edge_seg::shown_cache(name);
    return cache.empty() ? original(name, mode) : fmemopen(cache.data(), cache.size(), "r");
}
