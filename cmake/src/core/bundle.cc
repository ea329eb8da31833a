#include "core/bundle.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/manifest.h"
#include "core/sha256.h"
#include "core/stamp.h"

namespace edge_seg {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "manifest.json";
constexpr char kRemedy[] = "copy the bundle again or convert anew";
constexpr size_t kLongestName = 201;

// golden/image.png, nothing that any system reads otherwise.
bool is_plain(const std::string& name) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    const auto fits = [&plain](char c) { return plain(c) || c == '.' || c == '/' || c == '-'; };
    return !name.empty() && name.size() <= kLongestName && plain(name[0]) &&
           std::all_of(name.begin(), name.end(), fits);
}

// Whether `name` is a plain relative path, and no symbolic link on its way leads elsewhere.
bool stays_inside(const fs::path& folder, const std::string& name) {
    const fs::path relative(name);
    if (!is_plain(name) || std::find(relative.begin(), relative.end(), "..") != relative.end()) return false;
    std::error_code problem;
    const fs::path root = fs::weakly_canonical(folder, problem);
    if (problem) return false;
    const fs::path file = fs::weakly_canonical(folder / relative, problem);
    if (problem) return false;
    return std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first == root.end();
}

void check_place(const std::string& path, const std::string& name) {
    const fs::path folder(path);
    if (!stays_inside(folder, name)) {
        const std::string manifest = (folder / kManifest).string();
        throw Error("manifest-invalid", manifest + ": file name '" + name + "' leads out of the bundle", kRemedy);
    }
    const std::string file = (folder / name).string();
    std::error_code problem;
    if (!fs::is_regular_file(file, problem)) {
        const bool there = fs::exists(fs::symlink_status(file, problem));
        throw Error("file-missing", file + (there ? ": not a plain file" : ": missing"), kRemedy);
    }
}

void check_hash(const std::string& path, const std::string& name, const std::string& expected) {
    const std::string file = (fs::path(path) / name).string();
    std::string found;
    try {
        found = sha256_of_file(file);
    } catch (const std::system_error& failure) {
        throw Error("file-missing", file + ": can't be read: " + reason_of(failure), kRemedy);
    }
    if (found != expected) {
        std::error_code problem;
        const std::string size = std::to_string(fs::file_size(file, problem));
        throw Error("hash-mismatch",
                    file + ": altered or damaged (" + size + " bytes, sha256 " + found.substr(0, 12) + "…, expected " +
                        expected.substr(0, 12) + "…)",
                    kRemedy);
    }
}

std::vector<uint8_t> read_whole(const std::string& file) {
    try {
        return read_file(file, kJsonBytes);
    } catch (const std::system_error& problem) {
        throw Error("manifest-invalid", file + ": can't be read: " + reason_of(problem, kJsonBytes), kRemedy);
    }
}

}  // namespace

Bundle open_bundle(const std::string& path, const std::vector<std::string>& keys, bool hash_all) {
    constexpr char remedy[] = "give the folder that `edge-seg convert --out` made";
    std::error_code problem;
    if (!fs::exists(path, problem)) throw Error("bundle-missing", path + ": no such bundle", remedy);
    if (!fs::is_directory(path, problem)) {
        throw Error("bundle-missing", path + ": a file, not a bundle folder", remedy);
    }
    const std::string file = path + "/" + kManifest;
    if (!fs::is_regular_file(file, problem)) {
        throw Error("bundle-missing", path + ": not a bundle: it holds no " + kManifest, remedy);
    }
    const std::vector<uint8_t> content = read_whole(file);
    const Signed state = check_signature(path, content, keys);
    Bundle bundle{path, parse_manifest(content, file), state};
    std::vector<std::pair<std::string, std::string>> files;  // name and hash; two graphs may share a file
    for (const auto& [graph, spec] : bundle.manifest.graphs) {
        files.insert(files.end(), spec.files.begin(), spec.files.end());
    }
    files.insert(files.end(), bundle.manifest.golden.files.begin(), bundle.manifest.golden.files.end());
    std::vector<std::string> names;
    for (const auto& [name, hash] : files) {
        check_place(path, name);
        names.push_back(name);
    }
    Sha256 digest;
    digest.update(content.data(), content.size());
    const Stamp stamp = stamp_of(path, digest.hex(), names);
    bundle.hashed = hash_all || !is_noted(stamp);
    if (!bundle.hashed) return bundle;
    for (const auto& [name, hash] : files) check_hash(path, name, hash);
    note(stamp);
    return bundle;
}

}  // namespace edge_seg
