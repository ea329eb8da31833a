// The user's own folders.
#pragma once

#include <string>

namespace edge_seg {

// The folder that the environment `variable` names ("XDG_CACHE_HOME"), else the one `below` the user's home (".cache");
// "" for a user without a home. Only whole paths count.
std::string user_folder(const char* variable, const char* below);

}  // namespace edge_seg
