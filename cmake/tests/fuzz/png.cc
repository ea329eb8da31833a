#include "images/read_image.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    keep_images_small();
    return only_errors([&] { edge_seg::decode_image({data, data + size}, "fuzz"); });
}
