// Files that were hashed once aren't hashed at every start: on a processor without SHA instructions that would cost
// more than an image (docs/security.md says what is promised).
//
// The note of it lies in the user's cache, edge-seg/checked/HASH, named by the manifest's hash, where that place
// belongs to this user alone. It holds the manifest's hash and, of each file, what changes when the file does: inode,
// size, times of modification and of change, the latter set by the kernel alone.
#pragma once

#include <string>
#include <vector>

namespace edge_seg {

struct Stamp {
    std::string text;   // "" where a file can't be looked at
    bool holds = true;  // any later change gives the files another time than they have now
};

// The stamp of a bundle's `files` as they are now. Taken before they are hashed, so that what changes meanwhile doesn't
// fit it. Waits a moment where a file was written just now: the clock of file times ticks slowly.
Stamp stamp_of(const std::string& bundle, const std::string& manifest_hash, const std::vector<std::string>& files);

// Whether `stamp` is the one noted, and nobody but root and this user can have written the note.
bool is_noted(const Stamp& stamp);

// Notes it there, where such a note would count and can be written; otherwise the files are hashed again next time.
void note(const Stamp& stamp);

}  // namespace edge_seg
