// Whole files in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

// The file's bytes. Throws std::system_error, whose code says why (ENOENT, EISDIR, …).
std::vector<uint8_t> read_file(const std::string& path);

}  // namespace edge_seg
