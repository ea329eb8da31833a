#pragma once

namespace edge_seg {

// Words in the program's file by which `edge-seg pack` knows it without running it: its version, and the engines in it
// with theirs.
extern const char kIdentity[];

}  // namespace edge_seg
