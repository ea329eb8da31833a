#include "core/stamp.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/file.h"
#include "core/limits.h"

namespace edge_seg {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "checked", kFirstLine[] = "edge-seg checked 1\n";

fs::path folder_of(const std::string& bundle) {
    return fs::canonical(bundle).parent_path();
}

// Written by root or this user, and by nobody else.
bool is_ours(const struct stat& status) {
    return (status.st_uid == 0 || status.st_uid == geteuid()) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::string text_of(const timespec& time) {
    return std::to_string(static_cast<long long>(time.tv_sec)) + "." + std::to_string(time.tv_nsec);
}

}  // namespace

std::string stamp_of(const std::string& bundle, const std::string& manifest_hash,
                     const std::vector<std::string>& files) {
    std::string stamp = kFirstLine + manifest_hash + "\n";
    for (const std::string& name : files) {
        struct stat status {};
        if (lstat((bundle + "/" + name).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return "";
        stamp += std::to_string(status.st_ino) + " " + std::to_string(status.st_size) + " " + text_of(status.st_mtim) +
                 " " + text_of(status.st_ctim) + " " + name + "\n";
    }
    return stamp;
}

bool is_stamped(const std::string& bundle, const std::string& stamp) {
    if (stamp.empty()) return false;
    try {
        const fs::path folder = folder_of(bundle);
        const std::string file = (folder / kName).string();
        struct stat around {
        }, status{};
        if (lstat(folder.c_str(), &around) != 0 || lstat(file.c_str(), &status) != 0) return false;
        if (!S_ISREG(status.st_mode) || !is_ours(around) || !is_ours(status)) return false;
        const std::vector<uint8_t> content = read_file(file, kTextFileBytes);
        return std::string(content.begin(), content.end()) == stamp;
    } catch (const std::system_error&) {  // no stamp, or none that can be read
        return false;
    }
}

void write_stamp(const std::string& bundle, const std::string& stamp) {
    const std::string file = (folder_of(bundle) / kName).string(), beside = file + ".new";
    {
        const mode_t before = umask(S_IWGRP | S_IWOTH);
        std::ofstream out(beside, std::ios::trunc | std::ios::binary);
        umask(before);
        out << stamp;
        out.close();
        if (!out) {
            const int number = errno;
            std::remove(beside.c_str());
            throw std::system_error(number, std::generic_category(), beside);
        }
    }
    fs::rename(beside, file);
}

}  // namespace edge_seg
