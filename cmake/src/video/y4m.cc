#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/limits.h"
#include "images/yuv.h"
#include "video/formats.h"

namespace edge_seg {
namespace {

constexpr char kMagic[] = "YUV4MPEG2", kFrame[] = "FRAME";
constexpr char kRemedy[] = "make it with: ffmpeg -i VIDEO -pix_fmt yuv420p -f yuv4mpegpipe FILE.y4m";
constexpr size_t kLongestLine = 4096;

// The line that the stream begins with, without its end; nothing when the stream has ended.
std::optional<std::string> take_line(ByteStream& stream) {
    for (size_t length = 0;; ++length) {
        if (!stream.has(length + 1)) {
            if (length == 0) return std::nullopt;
            throw Error("video-unreadable", stream.name() + ": cut short in the middle of a line", kRemedy);
        }
        if (length > kLongestLine)
            throw Error("video-unreadable", stream.name() + ": damaged, a line has no end", kRemedy);
        if (stream.data()[length] == '\n') {
            std::string line(stream.data(), stream.data() + length);
            stream.drop(length + 1);
            return line;
        }
    }
}

struct Format {
    int width = 0, height = 0;
    std::string colors = "420";
    bool full = false;
};

int side_of(const ByteStream& stream, const std::string& word) {
    char* end = nullptr;
    const long side = std::strtol(word.c_str() + 1, &end, 10);
    if (*end != '\0' || side < 1 || side > 65535) {
        throw Error("video-unreadable", stream.name() + ": '" + word + "' is no width or height", kRemedy);
    }
    return static_cast<int>(side);
}

Format read_format(ByteStream& stream) {
    Format format;
    std::istringstream words(take_line(stream).value_or(""));
    std::string word;
    words >> word;  // the magic
    while (words >> word) {
        if (word[0] == 'W') format.width = side_of(stream, word);
        if (word[0] == 'H') format.height = side_of(stream, word);
        if (word[0] == 'C') format.colors = word.substr(1);
        if (word == "XCOLORRANGE=FULL") format.full = true;
    }
    if (format.width == 0 || format.height == 0) {
        throw Error("video-unreadable", stream.name() + ": its first line names no width and height", kRemedy);
    }
    return format;
}

class Y4m : public Source {
  public:
    explicit Y4m(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)), format_(read_format(*stream_)) {
        const std::string& colors = format_.colors;
        const bool known = colors == "420" || colors == "420jpeg" || colors == "420mpeg2" || colors == "420paldv";
        if (!known && colors != "422" && colors != "444" && colors != "mono") {
            throw Error("video-unreadable", stream_->name() + ": pixels of the kind '" + colors + "' aren't read",
                        kRemedy);
        }
        shift_x_ = known || colors == "422" ? 1 : 0;
        shift_y_ = known ? 1 : 0;
        plane_ = size_t{1} * format_.width * format_.height;
        check_pixels(stream_->name(), static_cast<uint64_t>(format_.width), static_cast<uint64_t>(format_.height));
        chroma_row_ = (size_t{1} * format_.width + shift_x_) >> shift_x_;
        chroma_ = colors == "mono" ? 0 : chroma_row_ * ((size_t{1} * format_.height + shift_y_) >> shift_y_);
    }

    bool next(Frame& frame) override {
        const std::optional<std::string> line = take_line(*stream_);
        if (!line) return false;
        const std::string where = stream_->name() + ": frame " + std::to_string(number_);
        if (line->rfind(kFrame, 0) != 0) throw Error("video-unreadable", where + " doesn't begin as it must", kRemedy);
        if (!stream_->has(plane_ + 2 * chroma_)) {
            throw Error("video-unreadable", where + " is cut short, its end is missing", "copy the video again");
        }
        const uint8_t *y = stream_->data(), grey = 128;
        frame.image = Image(format_.width, format_.height);
        Yuv yuv{y, y + plane_, y + plane_ + chroma_, size_t{1} * format_.width, chroma_row_, 1, 1, shift_x_, shift_y_};
        if (chroma_ == 0) yuv.u = yuv.v = &grey, yuv.chroma_row = yuv.chroma_step = 0;
        yuv.full = format_.full;
        to_bgr(yuv, frame.image);
        stream_->drop(plane_ + 2 * chroma_);
        frame.name = stream_->name();
        frame.number = number_++;
        return true;
    }

  private:
    std::unique_ptr<ByteStream> stream_;
    Format format_;
    size_t plane_ = 0, chroma_ = 0, chroma_row_ = 0;  // bytes
    int shift_x_ = 0, shift_y_ = 0;
    int64_t number_ = 0;
};

}  // namespace

bool is_y4m(ByteStream& stream) {
    return stream.has(sizeof kMagic) && std::memcmp(stream.data(), kMagic, sizeof kMagic - 1) == 0;
}

std::unique_ptr<Source> read_y4m(std::unique_ptr<ByteStream> stream) {
    return std::make_unique<Y4m>(std::move(stream));
}

}  // namespace edge_seg
