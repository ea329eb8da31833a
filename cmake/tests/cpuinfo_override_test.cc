#include "engines/cpuinfo_override.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <string>

using edge_seg::correct_cpu;
using edge_seg::CorrectedCpu;
using edge_seg::CpuinfoOverride;
using edge_seg::kLeastCacheKib;
using edge_seg::shown_cache;

namespace {

std::string core(const std::string& part, const std::string& features = "fp asimd asimddp",
                 const std::string& implementer = "0x41") {
    return "processor\t: 0\nFeatures\t: " + features + "\nCPU implementer\t: " + implementer +
           "\nCPU architecture: 8\nCPU part\t: " + part + "\nCPU revision\t: 3\n\n";
}

// As Paddle Lite reads it.
std::string read(const char* name) {
    std::string text;
    FILE* file = std::fopen(name, "rb");
    if (file == nullptr) return text;
    char line[1024];
    while (std::fgets(line, sizeof line, file) != nullptr) text += line;
    std::fclose(file);
    return text;
}

}  // namespace

TEST_CASE("a core that the library doesn't know is shown as its twin") {
    const CorrectedCpu corrected = correct_cpu(core("0xd05") + core("0xd0b"));
    CHECK(corrected.text == core("0xd05") + core("0xd40"));
    CHECK(corrected.parts == std::map<std::string, std::string>{{"0xd0b", "0xd40"}});
}

TEST_CASE("later cores are shown as the nearest design that the library knows") {
    for (const auto& [part, shown] : std::map<std::string, std::string>{
             {"0xd4d", "0xd41"}, {"0xd81", "0xd41"}, {"0xd4f", "0xd41"}, {"0xd80", "0xd05"}, {"0xd0c", "0xd40"}}) {
        CHECK(correct_cpu(core(part)).text == core(shown));
    }
}

TEST_CASE("other cores are shown as they are") {
    const std::string alike[] = {
        core("0xd08", "fp asimd"),                  // known
        core("0xd0b", "fp asimd"),                  // the kernel or a hypervisor hides its dot products
        core("0xd0b", "fp asimd asimddpx"),         // another feature
        core("0xd0b", "fp asimd asimddp", "0x48"),  // another maker's part of that number
        core("0xd99"),                              // nobody knows it
        "model name\t: AMD EPYC\n",
        "",
    };
    for (const std::string& text : alike) {
        const CorrectedCpu corrected = correct_cpu(text);
        CHECK(corrected.text == text);
        CHECK(corrected.parts.empty());
    }
}

TEST_CASE("who opens /proc/cpuinfo sees what is shown, as long as it is") {
    const std::string real = read("/proc/cpuinfo");
    {
        const CpuinfoOverride shown("CPU part\t: 0xd40\n");
        CHECK(read("/proc/cpuinfo") == "CPU part\t: 0xd40\n");
        CHECK(read("/proc/meminfo").rfind("MemTotal", 0) == 0);
    }
    CHECK_FALSE(real.empty());
    CHECK(read("/proc/cpuinfo").size() == real.size());
}

TEST_CASE("a cache that the library would overrun is shown as one that it wouldn't") {
    const std::string cpu0 = "/sys/devices/system/cpu/cpu0/cache/";
    int largest = 0;
    for (int index = 0; index < 9; ++index) {
        const std::string size = read((cpu0 + "index" + std::to_string(index) + "/size").c_str());
        if (!size.empty()) largest = std::max(largest, std::stoi(size));
    }
    const bool small = largest < kLeastCacheKib;  // so on emulated Cortex-A53 and A76, not on the A72
    CHECK(shown_cache(cpu0 + "index9/level") == (small ? "3\n" : ""));
    CHECK(shown_cache(cpu0 + "index9/size") == (small ? "640K\n" : ""));
    CHECK(shown_cache(cpu0 + "index2/size").empty());
    CHECK(shown_cache("/sys/devices/system/cpu/cpu99999/cache/index9/level") == "3\n");  // the system tells nothing
    CHECK(read("/sys/devices/system/cpu/cpu99999/cache/index9/size").empty());
    const CpuinfoOverride shown("CPU part\t: 0xd40\n");
    CHECK(read("/sys/devices/system/cpu/cpu99999/cache/index9/level") == "3\n");
    CHECK(read("/sys/devices/system/cpu/cpu99999/cache/index9/size") == "640K\n");
}
