#include "core/stamp.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

#include "core/file.h"
#include "core/limits.h"
#include "core/user_folder.h"

namespace edge_seg {
namespace {

namespace fs = std::filesystem;
using std::chrono::nanoseconds;

constexpr char kFirstLine[] = "edge-seg checked 1\n";
constexpr size_t kHashDigits = 64;
constexpr nanoseconds kTick = std::chrono::milliseconds(20);  // of the kernel's clock for files, at 100 Hz and slack
constexpr nanoseconds kCoarse = std::chrono::seconds(2);      // of the file system with the slowest times (FAT)

// Where the note of a bundle with this stamp lies: its name is the manifest's hash. "" for a user without a home.
fs::path note_of(const Stamp& stamp) {
    const std::string cache = user_folder("XDG_CACHE_HOME", ".cache");
    if (cache.empty()) return "";
    return fs::path(cache) / "edge-seg" / "checked" / stamp.text.substr(std::strlen(kFirstLine), kHashDigits);
}

// Written by root or this user, and by nobody else.
bool is_ours(const struct stat& status) {
    return (status.st_uid == 0 || status.st_uid == geteuid()) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool is_in_our_folder(const fs::path& file) {
    struct stat around {};
    return lstat(file.parent_path().c_str(), &around) == 0 && is_ours(around);
}

nanoseconds since_epoch(const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

std::string text_of(const timespec& time) {
    return std::to_string(static_cast<long long>(time.tv_sec)) + "." + std::to_string(time.tv_nsec);
}

}  // namespace

Stamp stamp_of(const std::string& bundle, const std::string& manifest_hash, const std::vector<std::string>& files) {
    Stamp stamp{kFirstLine + manifest_hash + "\n"};
    nanoseconds newest(0);
    bool coarse = false;
    for (const std::string& name : files) {
        struct stat status {};
        if (lstat((bundle + "/" + name).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {"", false};
        stamp.text += std::to_string(status.st_ino) + " " + std::to_string(status.st_size) + " " +
                      text_of(status.st_mtim) + " " + text_of(status.st_ctim) + " " + name + "\n";
        newest = std::max(newest, since_epoch(status.st_ctim));
        coarse = coarse || status.st_ctim.tv_nsec == 0;
    }
    const nanoseconds age = std::chrono::system_clock::now().time_since_epoch() - newest;
    // A clock that was set back may show any time again.
    stamp.holds = age >= nanoseconds(0) && !(coarse && age < kCoarse);
    if (stamp.holds && age < kTick) std::this_thread::sleep_for(kTick - age);
    return stamp;
}

bool is_noted(const Stamp& stamp) {
    if (stamp.text.empty()) return false;
    try {
        const fs::path file = note_of(stamp);
        struct stat status {};
        if (lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
        if (!is_ours(status) || !is_in_our_folder(file)) return false;
        const std::vector<uint8_t> content = read_file(file.string(), kTextFileBytes);
        return std::string(content.begin(), content.end()) == stamp.text;
    } catch (const std::system_error&) {  // no note, or none that can be read
        return false;
    }
}

void note(const Stamp& stamp) {
    if (stamp.text.empty() || !stamp.holds) return;
    try {
        const fs::path file = note_of(stamp);
        if (file.empty()) return;
        if (fs::create_directories(file.parent_path())) fs::permissions(file.parent_path(), fs::perms::owner_all);
        if (!is_in_our_folder(file)) return;
        // A name of its own: another process may be at the same.
        const fs::path beside = file.string() + "." + std::to_string(getpid());
        {
            std::ofstream out(beside, std::ios::trunc | std::ios::binary);
            out << stamp.text;
            out.close();
            if (!out || chmod(beside.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != 0) {
                std::remove(beside.c_str());
                return;
            }
        }
        fs::rename(beside, file);
    } catch (const std::system_error&) {  // a read-only disk: hashed again next time
    }
}

}  // namespace edge_seg
