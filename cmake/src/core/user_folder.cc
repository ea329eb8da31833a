#include "core/user_folder.h"

#include <cstdlib>

namespace edge_seg {
namespace {

std::string whole_path_in(const char* variable) {
    const char* const value = std::getenv(variable);
    return value != nullptr && value[0] == '/' ? value : "";
}

}  // namespace

std::string user_folder(const char* variable, const char* below) {
    const std::string named = whole_path_in(variable), home = whole_path_in("HOME");
    return !named.empty() || home.empty() ? named : home + "/" + below;
}

}  // namespace edge_seg
