#include "runner/identity.h"

#ifdef EDGE_SEG_NCNN
#include <platform.h>
#endif

namespace edge_seg {

// A reader searches for this form: edge_seg/boards/elf.py.
const char kIdentity[] = "edge-seg-run version=" EDGE_SEG_VERSION
                         " protocol=1 engines="
#ifdef EDGE_SEG_PADDLE_LITE
                         "paddle-lite=" EDGE_SEG_PADDLE_LITE
                         ","
#endif
#ifdef EDGE_SEG_NCNN
                         "ncnn=" NCNN_VERSION_STRING
                         ","
#endif
                         "null=1";

}  // namespace edge_seg
