#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>

#include "images/folder.h"
#include "images/read_image.h"
#include "runner/interrupt.h"
#include "video/source.h"

namespace edge_seg {
namespace {

// A file is complete when who wrote it has closed it, or when it is moved there.
constexpr uint32_t kComplete = IN_CLOSE_WRITE | IN_MOVED_TO;
constexpr uint32_t kGone = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

// What tells a file from another of its name: its place on the disk, and when it was written.
using Mark = std::array<int64_t, 4>;

Mark mark_of(const std::string& file) {
    struct stat status {};
    if (stat(file.c_str(), &status) != 0) return {};
    return {static_cast<int64_t>(status.st_ino), static_cast<int64_t>(status.st_size), status.st_mtim.tv_sec,
            status.st_mtim.tv_nsec};
}

class WatchedFolder : public Source {
  public:
    explicit WatchedFolder(std::string folder) : folder_(std::move(folder)), events_(inotify_init1(IN_CLOEXEC)) {
        if (events_ < 0) fail("this system can't watch folders: ");
        // First the watch, then the list, or what appears in between would be missed.
        if (inotify_add_watch(events_, folder_.c_str(), kComplete | kGone | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR) <
                0 &&
            errno != ENOENT && errno != ENOTDIR) {
            const int problem = errno;
            close(events_);
            errno = problem;
            fail("can't be watched: ");
        }
        try {
            list();
        } catch (...) {
            close(events_);
            throw;
        }
    }
    ~WatchedFolder() override { close(events_); }
    WatchedFolder(const WatchedFolder&) = delete;
    WatchedFolder& operator=(const WatchedFolder&) = delete;

    bool next(Frame& frame) override {
        check_interrupted();
        while (waiting_.empty()) take_events();
        frame.name = waiting_.front();
        waiting_.pop_front();
        try {
            frame.image = read_image(frame.name);
        } catch (const Error& problem) {
            frame.problem = problem;
        }
        return true;
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(
            "watch", folder_ + ": " + what + std::generic_category().message(errno),
            "on a network's folder, or with too many watches (fs.inotify.max_user_watches), give --folder without "
            "--watch time and again");
    }

    // All images that aren't known yet, or are others than those known by their names.
    void list() {
        std::map<std::string, Mark> there;
        for (std::string& file : images_in(folder_)) {
            const Mark mark = mark_of(file);
            const auto known = known_.find(file);
            if (known == known_.end() || known->second != mark) {
                waiting_.push_back(file);
                listed_.insert(file);
            }
            there[std::move(file)] = mark;
        }
        known_ = std::move(there);
    }

    void take_events() {
        wait_for_input(events_);
        alignas(inotify_event) char bytes[1 << 14];
        const ssize_t size = read(events_, bytes, sizeof bytes);
        if (size < 0 && errno == EINTR) return;
        if (size < 0) fail("can't be watched any more: ");
        for (ssize_t at = 0; at < size;) {
            inotify_event event{};
            std::memcpy(&event, bytes + at, sizeof event);
            const char* name = bytes + at + sizeof event;
            at += static_cast<ssize_t>(sizeof event + event.len);
            if ((event.mask & kGone) != 0) {
                throw Error("watch", folder_ + ": the folder is gone", "make it again and start again");
            }
            if ((event.mask & IN_Q_OVERFLOW) != 0) list();
            if ((event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0) forget(name);
            if ((event.mask & kComplete) != 0 && (event.mask & IN_ISDIR) == 0) add(name);
        }
    }

    std::string path_of(const std::string& name) const { return (std::filesystem::path(folder_) / name).string(); }

    void forget(const std::string& name) {
        known_.erase(path_of(name));
        listed_.erase(path_of(name));
    }

    void add(const std::string& name) {
        if (!is_image_name(name)) return;
        const std::string file = path_of(name);
        const Mark mark = mark_of(file);
        Mark& known = known_[file];
        const bool again = listed_.erase(file) > 0 && known == mark;
        known = mark;
        if (!again) waiting_.push_back(file);
    }

    std::string folder_;
    int events_;
    std::deque<std::string> waiting_;
    std::map<std::string, Mark> known_;  // taken before: the kernel's queue may overflow, and all is listed again
    std::set<std::string> listed_;       // found by list(): an event may tell of them once more
};

}  // namespace

std::unique_ptr<Source> watch_folder(const std::string& folder) {
    return std::make_unique<WatchedFolder>(folder);
}

}  // namespace edge_seg
