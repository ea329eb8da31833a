// A bundle on disk: its manifest read, every file's hash checked, before any library sees them.
#pragma once

#include <string>

#include "core/signature.h"
#include "core/spec.h"

namespace edge_seg {

struct Bundle {
    std::string path;
    Manifest manifest;
    Signed signature = Signed::kNot;

    std::string file(const std::string& name) const { return path + "/" + name; }
};

// Throws Error when the folder or a file is missing, a hash doesn't match, the manifest isn't one of ours, or its
// signature is wrong. `trusted_keys`: a file with the public keys of which one must have signed it; "" for any or none.
Bundle open_bundle(const std::string& path, const std::string& trusted_keys = "");

}  // namespace edge_seg
