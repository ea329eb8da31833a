#include "core/memory.h"

#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "core/error.h"

namespace edge_seg {
namespace {

constexpr double kMb = 1e6, kDoubt = 0.8;
constexpr char kOff[] = "EDGE_SEG_MEMORY_CHECK";

// In MB: the base, for each MB of the graphs' files, for each million pixels of the input. `size` is that of the files,
// as a part of those in fp32.
struct Peak {
    const char *engine, *target, *precision;
    double base, weights, pixels, size;
};

constexpr Peak kPeaks[] = {
    {"paddle-lite", "arm", "fp32", 0, 3.1, 1130, 1.0}, {"paddle-lite", "arm", "w16", 0, 6.2, 1130, 0.51},
    {"paddle-lite", "arm", "w8", 0, 12.4, 1130, 0.26}, {"paddle-lite", "arm", "int8", 0, 3.1, 1130, 0.26},
    {"paddle-lite", "x86", "fp32", 0, 1.6, 2845, 1.0}, {"ncnn", "cpu", "fp32", 80, 3.1, 1260, 1.0},
    {"ncnn", "cpu", "fp16", 80, 2.0, 700, 0.73},
};

const Peak* find_peak(const std::string& engine, const std::string& target, const std::string& precision) {
    const auto* const found = std::find_if(std::begin(kPeaks), std::end(kPeaks), [&](const Peak& peak) {
        return engine == peak.engine && target == peak.target && precision == peak.precision;
    });
    return found == std::end(kPeaks) ? nullptr : found;
}

uint64_t peak_of(const Peak& peak, double model_bytes, const PreprocessSpec& input) {
    const double pixels = static_cast<double>(input.height) * input.width / 1e6;
    return static_cast<uint64_t>(
        std::llround((peak.base + peak.weights * model_bytes / kMb + peak.pixels * pixels) * kMb));
}

bool is_arm64() {
    utsname system{};
    uname(&system);
    return std::strcmp(system.machine, "aarch64") == 0 || std::strcmp(system.machine, "arm64") == 0;
}

uint64_t file_bytes(const Bundle& bundle) {
    uint64_t sum = 0;
    for (const auto& [graph, spec] : bundle.manifest.graphs) {
        for (const auto& [name, hash] : spec.files) {
            struct stat info {};
            if (stat(bundle.file(name).c_str(), &info) == 0) sum += static_cast<uint64_t>(info.st_size);
        }
    }
    return sum;
}

// A whole number in a file; none where there is none ("max").
std::optional<uint64_t> number_in(const char* path) {
    uint64_t number = 0;
    std::ifstream file(path);
    return file >> number ? std::optional<uint64_t>(number) : std::nullopt;
}

std::string mb(uint64_t bytes) {
    return std::to_string(std::llround(static_cast<double>(bytes) / kMb)) + " MB";
}

// Recipes for the same engine and machines that need less than `free`, the least first.
std::string what_fits(const Manifest& manifest, double model_bytes, uint64_t free) {
    const Peak* own = find_peak(manifest.engine, manifest.target, manifest.precision);
    const double whole = model_bytes / own->size;
    std::map<uint64_t, std::string> fitting;
    for (const Peak& peak : kPeaks) {
        if (manifest.engine != peak.engine || manifest.target != peak.target) continue;
        const uint64_t needed = peak_of(peak, whole * peak.size, manifest.preprocess);
        const std::string name = manifest.engine == "ncnn" ? "ncnn" : peak.target;
        if (needed <= free) fitting[needed] = name + "-" + peak.precision + " (" + mb(needed) + ")";
    }
    return fitting.empty() ? "" : fitting.begin()->second;
}

}  // namespace

std::optional<uint64_t> needed_bytes(const Manifest& manifest, uint64_t model_bytes) {
    std::string precision = manifest.precision;
    auto weights = static_cast<double>(model_bytes);
    if (manifest.engine == "ncnn" && precision == "fp16" && !is_arm64()) {  // there ncnn computes it in fp32
        weights /= find_peak("ncnn", "cpu", "fp16")->size;
        precision = "fp32";
    }
    const Peak* peak = find_peak(manifest.engine, manifest.target, precision);
    return peak == nullptr ? std::nullopt : std::optional(peak_of(*peak, weights, manifest.preprocess));
}

std::optional<uint64_t> free_bytes() {
    std::map<std::string, uint64_t> found;
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string name;
        uint64_t kilobytes = 0;
        if (words >> name >> kilobytes) found[name] = kilobytes * 1024;
    }
    if (found.count("MemAvailable:") == 0) return std::nullopt;
    uint64_t free = found["MemAvailable:"] + found["SwapFree:"];
    const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
    if (limit && used) free = std::min(free, *limit > *used ? *limit - *used : 0);
    return free;
}

void check_memory(const Bundle& bundle) {
    const char* const setting = std::getenv(kOff);
    if (setting != nullptr && std::strcmp(setting, "off") == 0) return;
    const Manifest& manifest = bundle.manifest;
    const uint64_t model_bytes = file_bytes(bundle);
    const auto needed = needed_bytes(manifest, model_bytes), free = free_bytes();
    if (!needed || !free || static_cast<double>(*free) >= kDoubt * static_cast<double>(*needed)) return;
    const std::string fitting = what_fits(manifest, static_cast<double>(model_bytes), *free);
    throw Error(
        "memory",
        bundle.path + ": " + manifest.recipe + " needs about " + mb(*needed) + " at " +
            std::to_string(manifest.preprocess.height) + "x" + std::to_string(manifest.preprocess.width) +
            ", and this machine has " + mb(*free) + " free",
        (fitting.empty() ? "convert with a smaller --size" : "convert with " + fitting + " or a smaller --size") +
            std::string(", or end other programs; ") + kOff + "=off tries it all the same");
}

}  // namespace edge_seg
