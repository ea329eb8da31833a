// A small bundle on disk for tests, removed when done with.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

#include "core/json_fields.h"

namespace edge_seg {

class BundleFolder {
  public:
    BundleFolder();
    ~BundleFolder();
    BundleFolder(const BundleFolder&) = delete;
    BundleFolder& operator=(const BundleFolder&) = delete;

    const std::string& path() const { return path_; }
    // Changes a field of the manifest, named as in a JSON pointer: set("/postprocess/keep", 0).
    void set(const std::string& pointer, const Json& value);
    void remove(const std::string& pointer);
    // Its graphs become trunk, box_head and mask_head, with boxes of 16 pixels read from P4.
    void make_three_graphs();
    void write(const std::string& name, const std::string& content) const;

  private:
    std::string write_hashed(const std::string& name) const;
    void write_graphs();
    void write_manifest() const;

    std::string path_;
    Json manifest_;
};

}  // namespace edge_seg
