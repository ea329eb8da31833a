// A bundle on disk: its manifest read, every file's hash checked, before any library sees them.
#pragma once

#include <string>

#include "core/spec.h"

namespace edge_seg {

struct Bundle {
    std::string path;
    Manifest manifest;

    std::string file(const std::string& name) const { return path + "/" + name; }
};

// Throws Error when the folder or a file is missing, a hash doesn't match, or the manifest isn't one of ours.
Bundle open_bundle(const std::string& path);

}  // namespace edge_seg
