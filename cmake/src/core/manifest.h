// Reads and checks manifest.json: the only contract between conversion, runtime and benchmark.
#pragma once

#include <string>
#include <vector>

#include "core/spec.h"

namespace edge_seg {

constexpr int kSchema = 1;

// The manifest that `content` holds; `file` is for messages. Throws Error (manifest-schema, manifest-invalid).
Manifest parse_manifest(const std::vector<uint8_t>& content, const std::string& file);

}  // namespace edge_seg
