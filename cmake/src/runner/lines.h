// What the runner says: one line each, as soon as it is known, JSON or for people.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "core/error.h"

namespace edge_seg {

using Values = nlohmann::ordered_json;

class Lines {
  public:
    // `file` is an open file descriptor. `unfinished` (may be null) is set while a line is being written: if this
    // process dies then, another one can tell that the line has no end.
    Lines(int file, bool json, volatile bool* unfinished = nullptr)
        : file_(file), json_(json), unfinished_(unfinished) {}

    // Throws std::system_error when the line can't be written.
    void say(const std::string& kind, const Values& values) const;
    void say(const Error& error) const;

  private:
    int file_;
    bool json_;
    volatile bool* unfinished_;
};

}  // namespace edge_seg
