#include "images/folder.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"

namespace edge_seg {

namespace fs = std::filesystem;

bool is_image_name(const std::string& name) {
    std::string suffix = fs::path(name).extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return std::tolower(c); });
    return name[0] != '.' && (suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png");
}

std::vector<std::string> images_in(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code problem;
    fs::directory_iterator entries(folder, problem);
    for (; !problem && entries != fs::directory_iterator(); entries.increment(problem)) {
        std::error_code gone;
        const fs::path& path = entries->path();
        if (is_image_name(path.filename().string()) && entries->is_regular_file(gone)) files.push_back(path.string());
    }
    if (problem == std::errc::no_such_file_or_directory) {
        throw Error("image-missing", folder + ": no such folder", "check the path");
    }
    if (problem) {
        throw Error("image-unreadable", folder + ": can't be read as a folder: " + problem.message(),
                    "give a folder; single images are for --image");
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace edge_seg
