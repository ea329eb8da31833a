// Files that were checked when they were deployed aren't hashed at every start: on a processor without SHA instructions
// that would cost more than an image (docs/security.md says what is promised).
//
// The stamp lies beside the bundle's folder, in a folder that `edge-seg board deploy` made. It holds the manifest's
// hash and, of each file, what changes when the file does: inode, size, times of modification and of change, the latter
// set by the kernel alone.
#pragma once

#include <string>
#include <vector>

namespace edge_seg {

// The stamp of a bundle's `files` as they are now, "" where one of them can't be looked at. Taken before they are
// hashed, so that what changes meanwhile doesn't fit it.
std::string stamp_of(const std::string& bundle, const std::string& manifest_hash,
                     const std::vector<std::string>& files);

// Whether `stamp` is the one beside the bundle, and nobody but root and this user can have written it.
bool is_stamped(const std::string& bundle, const std::string& stamp);

// Writes it there, whole or not at all. Throws std::system_error.
void write_stamp(const std::string& bundle, const std::string& stamp);

}  // namespace edge_seg
