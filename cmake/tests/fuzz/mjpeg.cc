#include "fuzz.h"
#include "video/formats.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    keep_images_small();
    return only_errors([&] {
        auto stream = stream_of(data, size);
        if (edge_seg::is_mjpeg(*stream)) read_all(*edge_seg::read_mjpeg(std::move(stream)));
    });
}
