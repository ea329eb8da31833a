// Images that come one after the other: a video's frames, a camera's, or those that appear in a folder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/image.h"

namespace edge_seg {

struct Frame {
    Image image;
    std::string name;               // of the image or the video
    std::optional<int64_t> number;  // of a video's frame, from 0; a camera's counts those that were passed over
    std::optional<Error> problem;   // why it can't be used, where one bad image doesn't end them all
};

class Source {
  public:
    virtual ~Source() = default;

    // Fills `frame` with the next one; false when there is none. Waits for it. Throws Error, `interrupted` too.
    virtual bool next(Frame& frame) = 0;

    // Whether an image is of use only as long as it is new.
    virtual bool is_live() const { return false; }
};

// Y4M and Motion JPEG by themselves, all else through the program ffmpeg. "-" is standard input.
std::unique_ptr<Source> open_video(const std::string& file);

// A camera of Video4Linux: /dev/video<number>.
std::unique_ptr<Source> open_camera(int number);

// The images in a folder, and from then on those that appear in it, each when it is complete. Never ends by itself.
std::unique_ptr<Source> watch_folder(const std::string& folder);

}  // namespace edge_seg
