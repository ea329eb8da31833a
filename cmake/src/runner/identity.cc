#include "runner/identity.h"

namespace edge_seg {

// A reader searches for this form: edge_seg/boards/elf.py.
const char kIdentity[] = "edge-seg-run version=" EDGE_SEG_VERSION
                         " protocol=1 engines="
#ifdef EDGE_SEG_PADDLE_LITE
                         "paddle-lite=" EDGE_SEG_PADDLE_LITE
                         ","
#endif
                         "null=1";

}  // namespace edge_seg
