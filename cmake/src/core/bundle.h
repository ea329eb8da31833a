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
    bool hashed = true;  // now; otherwise by an earlier start that noted it (core/stamp.h)

    std::string file(const std::string& name) const { return path + "/" + name; }
};

// Throws Error when the folder or a file is missing, a hash doesn't match, the manifest isn't one of ours, or its
// signature is wrong. `keys`: files with the public keys of which one must have signed it; none of them: any, or none.
// Files that an earlier start hashed, and that are as they were, aren't hashed again, unless `hash_all`.
Bundle open_bundle(const std::string& path, const std::vector<std::string>& keys = {}, bool hash_all = false);

}  // namespace edge_seg
