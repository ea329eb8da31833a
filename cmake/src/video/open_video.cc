#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "video/formats.h"

extern char** environ;

namespace edge_seg {
namespace {

Error unreadable(const std::string& file, const std::string& what, const std::string& remedy) {
    return Error("video-unreadable", file + ": " + what, remedy);
}

int open_file(const std::string& file) {
    const int opened = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) throw Error("video-missing", file + ": no such video", "check the path");
    if (opened < 0) {
        throw unreadable(file, "can't be read: " + std::generic_category().message(errno), "check its permissions");
    }
    struct stat status {};
    if (fstat(opened, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(opened);
        throw unreadable(file, "a folder, not a video", "give a video file; images in a folder are for --folder");
    }
    return opened;
}

// The program ffmpeg, which decodes a file and writes Y4M for us to read.
class Ffmpeg : public Source {
  public:
    explicit Ffmpeg(const std::string& file) : file_(file) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
        auto stream = std::make_unique<ByteStream>(ends[0], file);
        const int problem = start(ends[1]);
        close(ends[1]);
        if (problem != 0) {
            throw unreadable(file,
                             "neither Y4M nor Motion JPEG, and the program ffmpeg, which reads the rest, isn't here",
                             "install ffmpeg, or decode elsewhere: ffmpeg -i VIDEO -f yuv4mpegpipe - | edge-seg-run "
                             "--video - …");
        }
        if (!is_y4m(*stream)) {
            finish();
            throw unreadable(file, "not a video that ffmpeg can decode", "its own words are on stderr");
        }
        frames_ = read_y4m(std::move(stream));
    }
    ~Ffmpeg() override {
        if (process_ > 0) kill(process_, SIGKILL);
        finish();
    }
    Ffmpeg(const Ffmpeg&) = delete;
    Ffmpeg& operator=(const Ffmpeg&) = delete;

    bool next(Frame& frame) override {
        if (frames_->next(frame)) return true;
        if (finish() != 0) throw unreadable(file_, "ffmpeg failed before its end", "its own words are on stderr");
        return false;
    }

  private:
    // An error number, or 0.
    int start(int out) {
        const std::string input = "file:" + file_;
        const char* words[] = {
            "ffmpeg",      "-nostdin", "-v",    "error",        "-i",
            input.c_str(), "-map",     "0:v:0", "-vf",          "scale=out_color_matrix=bt601:out_range=tv",
            "-pix_fmt",    "yuv420p",  "-f",    "yuv4mpegpipe", "-",
            nullptr};
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);  // ignored here; there it is what ends it when we end
        posix_spawnattr_setsigdefault(&attributes, &pipe);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
        const int problem =
            posix_spawnp(&process_, words[0], &actions, &attributes, const_cast<char**>(words), environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        if (problem != 0) process_ = 0;
        return problem;
    }

    int finish() {
        if (process_ <= 0) return 0;
        int status = 0;
        while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
        }
        process_ = 0;
        return status;
    }

    std::string file_;
    pid_t process_ = 0;
    std::unique_ptr<Source> frames_;
};

}  // namespace

std::unique_ptr<Source> open_video(const std::string& file) {
    const bool input = file == "-";
    auto stream = std::make_unique<ByteStream>(input ? dup(STDIN_FILENO) : open_file(file), input ? "stdin" : file);
    if (is_y4m(*stream)) return read_y4m(std::move(stream));
    if (is_mjpeg(*stream)) return read_mjpeg(std::move(stream));
    if (!stream->has(1)) throw unreadable(stream->name(), "empty, not a video", "check how it was made");
    if (input) {
        throw unreadable("stdin", "neither Y4M nor Motion JPEG",
                         "decode it first: ffmpeg -i VIDEO -f yuv4mpegpipe - | edge-seg-run --video - …");
    }
    stream.reset();
    return std::make_unique<Ffmpeg>(file);
}

}  // namespace edge_seg
