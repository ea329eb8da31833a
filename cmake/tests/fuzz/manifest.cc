#include "core/manifest.h"

#include "engines/checks.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    return only_errors([&] {
        const edge_seg::Manifest manifest = edge_seg::parse_manifest({data, data + size}, "fuzz");
        edge_seg::check_graphs(manifest);
    });
}
