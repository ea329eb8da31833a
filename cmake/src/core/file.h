// Whole files in memory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace edge_seg {

using OpenFile = std::unique_ptr<FILE, int (*)(FILE*)>;

// Opens a regular file: a pipe would hang, and a device may have no end. Throws std::system_error, whose code says why
// (ENOENT, EISDIR, ENODEV for what is neither a file nor a folder, …).
OpenFile open_regular(const std::string& path);

// The file's bytes. Throws std::system_error as open_regular does, and EFBIG for more than `most` bytes.
std::vector<uint8_t> read_file(const std::string& path, uint64_t most);

// The reason in words: "not a regular file", "larger than the limit of 16 MiB", "Permission denied".
std::string reason_of(const std::system_error& problem, uint64_t most = 0);

}  // namespace edge_seg
