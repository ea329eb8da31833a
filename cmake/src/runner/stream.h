// Frames of a video, of a camera, or images that appear in a folder: each once, as fast as they come.
#pragma once

#include <functional>
#include <string>

#include "runner/lines.h"
#include "runner/segmenter.h"
#include "video/source.h"

namespace edge_seg {

struct StreamOptions {
    int64_t frames = 0;  // at most so many; 0: all
    int warmup = 0;      // runs of the first frame that don't count
    std::string save;    // folder for images with what was found drawn in; "" for none
};

// Reading, preprocessing, the graphs with NMS, and what comes after them each have a thread of their own, so that they
// work on different frames at the same time; results come in order. The segmenter has one thread for each of them.
//
// Says `first_run`, a `sample` and a `result` for each frame, or `skipped` for one that can't be used, and `stream` at
// the end, however it ends. Throws what ended it before the source did.
void run_stream(Segmenter& segmenter, Source& source, const StreamOptions& options, const Lines& lines);

}  // namespace edge_seg
