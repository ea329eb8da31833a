// The processor as Paddle Lite sees it.
//
// The library knows cores by the part number in /proc/cpuinfo, and not all: on one that it doesn't know, int8 goes
// without the dot-product instructions.
//
// And it cuts matrix products to the last cache, L3 or else L2, of which it takes 512 KiB where the system tells none.
// Twelve columns of the second matrix are the least that it copies, into work space of that very size, and behind that
// space lies its copy of the first matrix (sgemm.cc, packed_sgemm.cc in v2.13-rc). The first layer of a box head has
// columns of 12,544 values, twelve of them 588 KiB: with 512 KiB it writes over the first matrix and computes wrong
// boxes without a word. So a smaller cache is shown as one of 640 KiB.
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

// The last cache that the library can work with, KiB.
constexpr int kLeastCacheKib = 640;

// What a file of a processor's tenth cache, ".../cpu0/cache/index9/level" or "size", is to hold where none of its
// caches is that large; "" for any other file, and where one is.
std::string shown_cache(const std::string& name);

// While it lives, whoever opens /proc/cpuinfo by fopen reads `text` instead, and finds a cache that is large enough, in
// this whole program; one at a time.
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
