#include "images/read_image.h"
#include "video/formats.h"

namespace edge_seg {
namespace {

constexpr uint8_t kMark = 0xFF, kBegin = 0xD8, kEnd = 0xD9, kRestart0 = 0xD0, kRestart7 = 0xD7;
constexpr size_t kMost = size_t{1} << 26;  // bytes of an image: what is larger is none

class Mjpeg : public Source {
  public:
    explicit Mjpeg(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}

    bool next(Frame& frame) override {
        while (stream_->has(3) && !at_image()) stream_->drop(1);
        if (!stream_->has(3)) return false;
        const std::string where = stream_->name() + ": frame " + std::to_string(number_);
        const size_t size = size_of_image(where);
        frame.image = decode_image({stream_->data(), stream_->data() + size}, where);
        stream_->drop(size);
        frame.name = stream_->name();
        frame.number = number_++;
        return true;
    }

  private:
    bool at_image() const {
        const uint8_t* at = stream_->data();
        return at[0] == kMark && at[1] == kBegin && at[2] == kMark;
    }

    uint8_t byte(size_t at, const std::string& where) {
        if (at >= kMost) throw Error("image-unreadable", where + " is damaged, it has no end", "copy the video again");
        if (stream_->size() <= at && !stream_->has(at + 1)) {
            throw Error("image-unreadable", where + " is cut short, its end is missing", "copy the video again");
        }
        return stream_->data()[at];
    }

    // Segments say how long they are; what follows the head of a scan goes on to the next marker that isn't part of it.
    size_t size_of_image(const std::string& where) {
        for (size_t at = 2;;) {
            while (byte(at, where) != kMark) ++at;
            const uint8_t marker = byte(at + 1, where);
            if (marker == kEnd) return at + 2;
            if (marker == kMark) {
                ++at;
            } else if (marker == 0 || (marker >= kRestart0 && marker <= kRestart7)) {
                at += 2;
            } else {
                const size_t length = size_t{byte(at + 2, where)} << 8 | byte(at + 3, where);
                at += 2 + length;
            }
        }
    }

    std::unique_ptr<ByteStream> stream_;
    int64_t number_ = 0;
};

}  // namespace

bool is_mjpeg(ByteStream& stream) {
    return stream.has(3) && stream.data()[0] == kMark && stream.data()[1] == kBegin && stream.data()[2] == kMark;
}

std::unique_ptr<Source> read_mjpeg(std::unique_ptr<ByteStream> stream) {
    return std::make_unique<Mjpeg>(std::move(stream));
}

}  // namespace edge_seg
