#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>

#include "core/error.h"
#include "core/memory.h"
#include "engines/checks.h"
#include "engines/cpuinfo_override.h"
#include "engines/engine.h"
#include "engines/in_two_steps.h"
#include "engines/null_engine.h"
#include "engines/requirements.h"
#ifdef EDGE_SEG_NCNN
#include "engines/ncnn_engine.h"
#endif
#ifdef EDGE_SEG_PADDLE_LITE
#include "engines/paddle_lite_engine.h"
#endif

namespace edge_seg {
namespace {

constexpr char kNull[] = "null", kPaddleLite[] = "paddle-lite", kNcnn[] = "ncnn";
constexpr char kRecipes[] = "convert with a recipe for paddle-lite or ncnn, such as arm-fp32 or ncnn-fp32";

std::unique_ptr<Engine> load_ncnn(const Bundle& bundle, const EngineOptions& options) {
#ifdef EDGE_SEG_NCNN
    return load_ncnn_engine(bundle, options);
#else
    (void)bundle, (void)options;
    throw Error("missing-dependency", "this runner was built without ncnn",
                "build it where ncnn's development files are (cmake/README.md), or use the Python runner:"
                " pip install ncnn");
#endif
}

std::unique_ptr<Engine> load_paddle_lite(const Bundle& bundle, const EngineOptions& options) {
    const Manifest& manifest = bundle.manifest;
    check_processor(manifest, read_cpuinfo());
#ifdef EDGE_SEG_PADDLE_LITE
    check_version(manifest, paddle_lite_version());
    check_library(manifest, built_into("libpaddle_light_api_shared.so"));
    return load_paddle_lite_engine(bundle, options);
#else
    (void)options;
    throw Error("missing-dependency", "this runner was built without Paddle Lite",
                "build it with PADDLE_LITE_DIR set to the folder of an unpacked Paddle Lite archive (cmake/README.md)");
#endif
}

}  // namespace

std::unique_ptr<Engine> open_engine(const Bundle& bundle, const EngineOptions& options) {
    const Manifest& manifest = bundle.manifest;
    const std::string name = options.name.empty() ? manifest.engine : options.name;
    if (name != kNull && name != kPaddleLite && name != kNcnn) {
        const bool asked = !options.name.empty();
        throw Error(asked ? "engine-unknown" : "engine-mismatch",
                    asked ? "engine '" + name + "': unknown"
                          : "the bundle '" + manifest.name + "' holds graphs for the engine " + name +
                                ", which this runner doesn't have",
                    asked ? "choose one of paddle-lite, ncnn, null" : kRecipes, asked ? 2 : 1);
    }
    check_graphs(manifest);
    if (name != kNull) {
        if (manifest.engine != name) {
            throw Error(
                "engine-mismatch",
                "the bundle '" + manifest.name + "' holds graphs for the engine " + manifest.engine + ", not " + name,
                kRecipes);
        }
        utsname system{};
        uname(&system);
        check_machine(manifest, system.machine);
        check_memory(bundle);
    }
    auto engine = name == kNull   ? load_null_engine(bundle)
                  : name == kNcnn ? load_ncnn(bundle, options)
                                  : load_paddle_lite(bundle, options);
    return in_two_steps(checked(std::move(engine), name, manifest), manifest, std::max(1, options.threads));
}

Json engine_libraries() {
    Json libraries = Json::object();
#ifdef EDGE_SEG_NCNN
    libraries[kNcnn] = ncnn_version();
#endif
#ifdef EDGE_SEG_PADDLE_LITE
    libraries[kPaddleLite] = paddle_lite_version();
#endif
    return libraries;
}

}  // namespace edge_seg
