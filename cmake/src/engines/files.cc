#include "engines/files.h"

#include "core/error.h"

namespace edge_seg {

std::string graph_file(const Bundle& bundle, const std::string& graph, const std::string& suffix) {
    for (const auto& [name, hash] : bundle.manifest.graphs.at(graph).files) {
        const size_t length = suffix.size();
        if (name.size() > length && name.compare(name.size() - length, length, suffix) == 0) return bundle.file(name);
    }
    throw Error("manifest-invalid", bundle.path + ": the graph '" + graph + "' has no " + suffix + " file");
}

}  // namespace edge_seg
