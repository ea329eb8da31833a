// The images in a folder.
#pragma once

#include <string>
#include <vector>

namespace edge_seg {

// Whether a file's name is that of an image that read_image may read: .jpg, .jpeg or .png, in any case, not hidden.
bool is_image_name(const std::string& name);

// The paths of the images in the folder, not of those in folders below, by name. Throws Error when there is no such
// folder.
std::vector<std::string> images_in(const std::string& folder);

}  // namespace edge_seg
