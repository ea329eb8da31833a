// What all fuzz targets share: whatever the bytes are, only an Error with code and remedy may come of them.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "core/limits.h"
#include "video/byte_stream.h"
#include "video/source.h"

template <typename Work>
int only_errors(const Work& work) {
    try {
        work();
    } catch (const edge_seg::Error& error) {
        if (error.code.empty() || error.remedy.empty()) std::abort();
    }
    return 0;
}

// Images of at most four million pixels: larger ones cost time and memory and find nothing more.
inline void keep_images_small() {
    static const bool set = setenv(edge_seg::kPixelsVariable, "4000000", 1) == 0;
    if (!set) std::abort();
}

// The bytes as a file that is read from its begin.
inline std::unique_ptr<edge_seg::ByteStream> stream_of(const uint8_t* data, size_t size) {
    const int file = memfd_create("fuzz", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size) || lseek(file, 0, SEEK_SET) != 0)
        std::abort();
    return std::make_unique<edge_seg::ByteStream>(file, "fuzz");
}

inline void read_all(edge_seg::Source& source) {
    for (edge_seg::Frame frame; source.next(frame);) {
    }
}
