// Video4Linux: the driver fills buffers that it shares with us. Of the images that came while we were at work only
// the newest is taken: a camera is looked through now, not some seconds ago.
#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "core/limits.h"
#include "runner/interrupt.h"
#include "video/camera_frame.h"
#include "video/source.h"

namespace edge_seg {
namespace {

constexpr uint32_t kBuffers = 4;
constexpr int kSilenceMs = 10000;  // without a frame; the slowest exposures take a second or two

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
        Buffer newest = take();
        for (Buffer buffer; try_take(buffer); newest = buffer) give_back(newest);
        if (count_ == 0) first_ = newest.base.sequence;
        frame.name = name_;
        // The driver's own count, so that those passed over show; some drivers don't count.
        frame.number = std::max<int64_t>(count_, static_cast<int32_t>(newest.base.sequence - first_));
        count_ = *frame.number + 1;
        try {
            convert(newest, frame.image);
        } catch (const Error& problem) {  // an image damaged on the wire: the next will do
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

    // A buffer with room for its planes; drivers of cameras with one plane leave those alone.
    struct Buffer {
        v4l2_buffer base{};
        v4l2_plane planes[VIDEO_MAX_PLANES] = {};
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

    void check() {
        v4l2_capability found{};
        if (!ask(VIDIOC_QUERYCAP, &found)) fail("not a camera", "give the number of a camera's /dev/video…");
        const uint32_t can = (found.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? found.device_caps : found.capabilities;
        const bool single = (can & V4L2_CAP_VIDEO_CAPTURE) != 0;
        several_ = !single && (can & V4L2_CAP_VIDEO_CAPTURE_MPLANE) != 0;
        if ((!single && !several_) || (can & V4L2_CAP_STREAMING) == 0) {
            fail("gives no images", "a camera often has two numbers of which the lower gives images: try that");
        }
        type_ = several_ ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
    }

    uint32_t pixels_of(const v4l2_format& format) const {
        return several_ ? uint32_t{format.fmt.pix_mp.pixelformat} : format.fmt.pix.pixelformat;
    }

    // Leaves the size as it is set (v4l2-ctl sets it), and asks for pixels that we can read: first for those that are
    // set.
    void choose_format() {
        v4l2_format format{};
        format.type = type_;
        require(VIDIOC_G_FMT, &format, "its format isn't known");
        std::vector<uint32_t> wanted = kCameraPixels;
        if (is_read(pixels_of(format))) wanted.insert(wanted.begin(), pixels_of(format));
        for (const uint32_t pixels : wanted) {
            v4l2_format asked = format;
            if (several_) {
                asked.fmt.pix_mp.pixelformat = pixels;
                std::memset(asked.fmt.pix_mp.plane_fmt, 0, sizeof asked.fmt.pix_mp.plane_fmt);
            } else {
                asked.fmt.pix.pixelformat = pixels;
                asked.fmt.pix.bytesperline = asked.fmt.pix.sizeimage = 0;
            }
            if (!ask(VIDIOC_S_FMT, &asked) || pixels_of(asked) != pixels) continue;
            const auto& one = asked.fmt.pix;
            const auto& more = asked.fmt.pix_mp;
            const uint32_t quantization = several_ ? more.quantization : one.quantization;
            format_ = {pixels, static_cast<int>(several_ ? more.width : one.width),
                       static_cast<int>(several_ ? more.height : one.height),
                       several_ ? more.plane_fmt[0].bytesperline : one.bytesperline,
                       quantization == V4L2_QUANTIZATION_FULL_RANGE};
            check_pixels(name_, static_cast<uint64_t>(format_.width), static_cast<uint64_t>(format_.height));
            return;
        }
        fail("gives none of Motion JPEG, YUYV and NV12",
             "have ffmpeg or libcamera read it and pipe it to --video - (cmake/README.md)");
    }

    void share_buffers() {
        v4l2_requestbuffers asked{};
        asked.count = kBuffers;
        asked.type = type_;
        asked.memory = V4L2_MEMORY_MMAP;
        require(VIDIOC_REQBUFS, &asked, "it can't share memory");
        for (uint32_t i = 0; i < asked.count; ++i) {
            Buffer buffer = blank();
            point_to_planes(buffer);
            buffer.base.index = i;
            require(VIDIOC_QUERYBUF, &buffer.base, "it can't share memory");
            memories_.emplace_back();
            const uint32_t planes = several_ ? buffer.base.length : 1;
            for (uint32_t plane = 0; plane < std::min<uint32_t>(planes, VIDEO_MAX_PLANES); ++plane) {
                const size_t size = several_ ? buffer.planes[plane].length : buffer.base.length;
                const uint32_t offset = several_ ? buffer.planes[plane].m.mem_offset : buffer.base.m.offset;
                void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, offset);
                if (data == MAP_FAILED) fail("out of memory", "use a smaller size");
                memories_.back().push_back({data, size});
            }
            give_back(buffer);
        }
        int type = static_cast<int>(type_);
        require(VIDIOC_STREAMON, &type, "it doesn't start");
    }

    Buffer blank() const {
        Buffer buffer;
        buffer.base.type = type_;
        buffer.base.memory = V4L2_MEMORY_MMAP;
        return buffer;
    }

    // To be called wherever the buffer lies before the driver gets it: the pointer leads into the buffer itself.
    void point_to_planes(Buffer& buffer) const {
        if (!several_) return;
        buffer.base.m.planes = buffer.planes;
        buffer.base.length = VIDEO_MAX_PLANES;
    }

    bool try_take(Buffer& buffer) const {
        buffer = blank();
        point_to_planes(buffer);
        if (ask(VIDIOC_DQBUF, &buffer.base)) return true;
        if (errno != EAGAIN)
            fail("it gives no more images: " + std::generic_category().message(errno), "plug it in again");
        return false;
    }

    Buffer take() const {
        Buffer buffer;
        do {
            if (input_within(file_, kSilenceMs)) continue;
            fail("gave no image within 10 s",
                 "unplug it and plug it in again; a camera of a board's own connector may need libcamera "
                 "(cmake/README.md)");
        } while (!try_take(buffer));
        return buffer;
    }

    void give_back(Buffer& buffer) const {
        point_to_planes(buffer);
        require(VIDIOC_QBUF, &buffer.base, "it takes no buffer back");
    }

    void convert(const Buffer& buffer, Image& image) const {
        std::vector<CameraPlane> planes;
        const std::vector<Memory>& memories = memories_.at(buffer.base.index);
        for (size_t i = 0; i < memories.size(); ++i) {
            const size_t used = several_ ? buffer.planes[i].bytesused : buffer.base.bytesused;
            planes.push_back({static_cast<const uint8_t*>(memories[i].data), std::min(used, memories[i].size)});
        }
        image = camera_image(format_, planes, name_);
    }

    void release() {
        int type = static_cast<int>(type_);
        ioctl(file_, VIDIOC_STREAMOFF, &type);
        for (const std::vector<Memory>& buffer : memories_) {
            for (const Memory& memory : buffer) munmap(memory.data, memory.size);
        }
        close(file_);
    }

    bool several_ = false;  // planes, each with memory of its own
    uint32_t type_ = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    std::string name_;
    int file_ = -1;
    CameraFormat format_;
    std::vector<std::vector<Memory>> memories_;  // of each buffer, its planes
    int64_t count_ = 0;
    uint32_t first_ = 0;
};

}  // namespace

std::unique_ptr<Source> open_camera(int number) {
    return std::make_unique<Camera>(number);
}

}  // namespace edge_seg
