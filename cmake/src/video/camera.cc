// Video4Linux: the driver fills buffers that it shares with us. Of the pictures that came while we were at work only
// the newest is taken: a camera is looked through now, not some seconds ago.
#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "pictures/read_image.h"
#include "pictures/yuv.h"
#include "runner/interrupt.h"
#include "video/source.h"

namespace edge_seg {
namespace {

constexpr uint32_t kBuffers = 4;

class Camera : public Source {
  public:
    explicit Camera(int number) : name_("/dev/video" + std::to_string(number)) {
        file_ = open(name_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (file_ < 0 && errno == ENOENT) fail("no such camera", "`ls /dev/video*` shows those that there are");
        if (file_ < 0) {
            fail("can't be opened: " + std::generic_category().message(errno),
                 "see that no other program uses it, and that this user is in the group video");
        }
        try {
            check();
            choose_format();
            share_buffers();
        } catch (...) {
            release();
            throw;
        }
    }
    ~Camera() override { release(); }
    Camera(const Camera&) = delete;
    Camera& operator=(const Camera&) = delete;

    bool next(Frame& frame) override {
        v4l2_buffer newest = take();
        for (v4l2_buffer buffer; try_take(buffer); newest = buffer) give_back(newest);
        if (count_ == 0) first_ = newest.sequence;
        frame.name = name_;
        // The driver's own count, so that those passed over show; some drivers don't count.
        frame.number = std::max<int64_t>(count_, static_cast<int32_t>(newest.sequence - first_));
        count_ = *frame.number + 1;
        try {
            convert(newest, frame.image);
        } catch (const Error& problem) {  // a picture damaged on the wire: the next will do
            frame.problem = problem;
        }
        give_back(newest);
        return true;
    }

    bool is_live() const override { return true; }

  private:
    struct Memory {
        void* data;
        size_t size;
    };

    [[noreturn]] void fail(const std::string& what, const std::string& remedy) const {
        throw Error("camera", name_ + ": " + what, remedy);
    }

    bool ask(unsigned long request, void* value) const {
        int answer;
        do {
            answer = ioctl(file_, request, value);
        } while (answer < 0 && errno == EINTR);
        return answer == 0;
    }
    void require(unsigned long request, void* value, const char* what) const {
        if (ask(request, value)) return;
        fail(std::string(what) + ": " + std::generic_category().message(errno),
             errno == EBUSY ? "another program uses it: end that" : "unplug it and plug it in again");
    }

    void check() const {
        v4l2_capability found{};
        if (!ask(VIDIOC_QUERYCAP, &found)) fail("not a camera", "give the number of a camera's /dev/video…");
        const uint32_t can = (found.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? found.device_caps : found.capabilities;
        if ((can & V4L2_CAP_VIDEO_CAPTURE) == 0 || (can & V4L2_CAP_STREAMING) == 0) {
            fail("gives no pictures", "a camera often has two numbers of which the lower gives pictures: try that");
        }
    }

    // Leaves the size as it is set (v4l2-ctl sets it), and asks for pixels that we can read.
    void choose_format() {
        v4l2_format format{};
        format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        require(VIDIOC_G_FMT, &format, "its format isn't known");
        for (const uint32_t pixels : {format.fmt.pix.pixelformat, V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV}) {
            if (pixels != V4L2_PIX_FMT_MJPEG && pixels != V4L2_PIX_FMT_YUYV) continue;
            v4l2_format asked = format;
            asked.fmt.pix.pixelformat = pixels;
            asked.fmt.pix.bytesperline = asked.fmt.pix.sizeimage = 0;
            if (ask(VIDIOC_S_FMT, &asked) && asked.fmt.pix.pixelformat == pixels) {
                format_ = asked.fmt.pix;
                return;
            }
        }
        fail("gives neither Motion JPEG nor YUYV", "have ffmpeg read it and pipe it to --video - (cmake/README.md)");
    }

    void share_buffers() {
        v4l2_requestbuffers asked{};
        asked.count = kBuffers;
        asked.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        asked.memory = V4L2_MEMORY_MMAP;
        require(VIDIOC_REQBUFS, &asked, "it can't share memory");
        for (uint32_t i = 0; i < asked.count; ++i) {
            v4l2_buffer buffer = blank();
            buffer.index = i;
            require(VIDIOC_QUERYBUF, &buffer, "it can't share memory");
            void* data = mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, file_, buffer.m.offset);
            if (data == MAP_FAILED) fail("out of memory", "use a smaller size");
            memories_.push_back({data, buffer.length});
            give_back(buffer);
        }
        int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        require(VIDIOC_STREAMON, &type, "it doesn't start");
    }

    static v4l2_buffer blank() {
        v4l2_buffer buffer{};
        buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = V4L2_MEMORY_MMAP;
        return buffer;
    }

    bool try_take(v4l2_buffer& buffer) const {
        buffer = blank();
        if (ask(VIDIOC_DQBUF, &buffer)) return true;
        if (errno != EAGAIN)
            fail("it gives no more pictures: " + std::generic_category().message(errno), "plug it in again");
        return false;
    }

    v4l2_buffer take() const {
        v4l2_buffer buffer{};
        do {
            wait_for_input(file_);
        } while (!try_take(buffer));
        return buffer;
    }

    void give_back(v4l2_buffer& buffer) const { require(VIDIOC_QBUF, &buffer, "it takes no buffer back"); }

    void convert(const v4l2_buffer& buffer, Image& image) const {
        const auto* bytes = static_cast<const uint8_t*>(memories_.at(buffer.index).data);
        const size_t used = std::min<size_t>(buffer.bytesused, memories_[buffer.index].size);
        if (format_.pixelformat == V4L2_PIX_FMT_MJPEG) {
            image = decode_image({bytes, bytes + used}, name_);
            return;
        }
        const int width = static_cast<int>(format_.width), height = static_cast<int>(format_.height);
        const size_t row = std::max<size_t>(format_.bytesperline, size_t{2} * width);
        if (used < row * (height - 1) + size_t{2} * width) {
            throw Error("image-unreadable", name_ + ": a picture cut short", "use a better cable or a smaller size");
        }
        image = Image(width, height);
        to_bgr(
            {bytes, bytes + 1, bytes + 3, row, row, 2, 4, 1, 0, format_.quantization == V4L2_QUANTIZATION_FULL_RANGE},
            image);
    }

    void release() {
        int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        ioctl(file_, VIDIOC_STREAMOFF, &type);
        for (const Memory& memory : memories_) munmap(memory.data, memory.size);
        close(file_);
    }

    std::string name_;
    int file_ = -1;
    v4l2_pix_format format_{};
    std::vector<Memory> memories_;
    int64_t count_ = 0;
    uint32_t first_ = 0;
};

}  // namespace

std::unique_ptr<Source> open_camera(int number) {
    return std::make_unique<Camera>(number);
}

}  // namespace edge_seg
