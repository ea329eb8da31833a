// The processor as Paddle Lite sees it. The library knows cores by the part number in /proc/cpuinfo, and not all: on
// one that it doesn't know, int8 goes without the dot-product instructions.
#pragma once

#include <map>
#include <string>

namespace edge_seg {

struct CorrectedCpu {
    std::string text;                          // of /proc/cpuinfo
    std::map<std::string, std::string> parts;  // part as it is -> as it is shown, of those that were replaced
};

// /proc/cpuinfo as it is; empty where there is none.
std::string read_cpuinfo();

// `cpuinfo` with the parts of cores that have dot products, and are others' twins, replaced by their twins' parts.
CorrectedCpu correct_cpu(const std::string& cpuinfo);

// While it lives, whoever opens /proc/cpuinfo by fopen reads `text` instead, in this whole program; one at a time.
class CpuinfoOverride {
  public:
    explicit CpuinfoOverride(std::string text);
    ~CpuinfoOverride();
    CpuinfoOverride(const CpuinfoOverride&) = delete;
    CpuinfoOverride& operator=(const CpuinfoOverride&) = delete;

  private:
    std::string text_;
};

}  // namespace edge_seg
