// What goes wrong, in the words of edge_seg/errors.py: a message for the user, a remedy, a stable code for scripts.
#pragma once

#include <stdexcept>
#include <string>

namespace edge_seg {

class Error : public std::runtime_error {
  public:
    Error(std::string code, const std::string& message, std::string remedy = "", int exit_code = 1)
        : std::runtime_error(message), code(std::move(code)), remedy(std::move(remedy)), exit_code(exit_code) {}

    std::string code;
    std::string remedy;
    int exit_code;  // the process's: 1 failed, 2 wrong usage
};

}  // namespace edge_seg
