#include "engines/paddle_lite_engine.h"

#include <nlohmann/json.hpp>

#include <paddle_api.h>

#include "core/error.h"
#include "core/phase.h"
#include "engines/cpuinfo_override.h"
#include "engines/files.h"

namespace edge_seg {
namespace {

namespace lite = paddle::lite_api;

struct Graph {
    std::shared_ptr<lite::PaddlePredictor> predictor;
    GraphSpec spec;
};

lite::PowerMode power_mode_of(const std::string& name) {
    static const std::map<std::string, lite::PowerMode> modes = {{"no-bind", lite::LITE_POWER_NO_BIND},
                                                                 {"high", lite::LITE_POWER_HIGH},
                                                                 {"low", lite::LITE_POWER_LOW},
                                                                 {"full", lite::LITE_POWER_FULL},
                                                                 {"rand-high", lite::LITE_POWER_RAND_HIGH},
                                                                 {"rand-low", lite::LITE_POWER_RAND_LOW}};
    return modes.at(name);
}

DType dtype_of(lite::PrecisionType precision) {
    switch (precision) {
        case lite::PrecisionType::kFloat:
            return DType::kFloat32;
        case lite::PrecisionType::kInt32:
            return DType::kInt32;
        case lite::PrecisionType::kInt64:
            return DType::kInt64;
        default:
            throw Error("engine-output", "paddle-lite: an output is neither float32, int32 nor int64");
    }
}

void check_names(const std::string& graph, const GraphSpec& spec, lite::PaddlePredictor& predictor) {
    std::vector<std::string> expected;
    for (const TensorSpec& input : spec.inputs) expected.push_back(input.name);
    if (predictor.GetInputNames() == expected && predictor.GetOutputNames().size() == spec.outputs.size()) return;
    throw Error("manifest-invalid", "the graph '" + graph + "' has other inputs or outputs than its manifest says",
                "the manifest is another model's: copy the bundle again or convert anew");
}

// The library reads the value where it lies: feature maps go from graph to graph without a copy. It never writes into
// an input (opt gives no other tensor an input's memory), and the next run gets new ones.
void lend(lite::Tensor& input, const Tensor& value) {
    input.Resize(value.shape);
    const size_t bytes = static_cast<size_t>(value.count()) * size_of(value.dtype);
    input.ShareExternalMemory(const_cast<void*>(value.data), bytes, lite::TargetType::kHost);
}

Tensor view_of(const lite::Tensor& output) {
    const DType dtype = dtype_of(output.precision());
    const void* data = dtype == DType::kFloat32 ? static_cast<const void*>(output.data<float>())
                       : dtype == DType::kInt32 ? static_cast<const void*>(output.data<int32_t>())
                                                : static_cast<const void*>(output.data<int64_t>());
    return {dtype, output.shape(), data};
}

class PaddleLiteEngine : public Engine {
  public:
    PaddleLiteEngine(std::map<std::string, Graph> graphs, int threads, std::string power_mode)
        : graphs_(std::move(graphs)), threads_(threads), power_mode_(std::move(power_mode)) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        const auto& [predictor, spec] = graphs_.at(graph);
        for (size_t i = 0; i < spec.inputs.size(); ++i) {
            lend(*predictor->GetInput(static_cast<int>(i)), inputs.at(spec.inputs[i].name));
        }
        predictor->Run();
        Tensors outputs;
        for (size_t i = 0; i < spec.outputs.size(); ++i) {
            outputs[spec.outputs[i].name] = view_of(*predictor->GetOutput(static_cast<int>(i)));
        }
        return outputs;
    }

    Json describe() const override {
        return {{"name", "paddle-lite"},
                {"version", paddle_lite_version()},
                {"threads", threads_},
                {"power_mode", power_mode_}};
    }

  private:
    std::map<std::string, Graph> graphs_;
    int threads_;
    std::string power_mode_;
};

}  // namespace

std::string paddle_lite_version() {
    return EDGE_SEG_PADDLE_LITE;
}

std::unique_ptr<Engine> load_paddle_lite_engine(const Bundle& bundle, const EngineOptions& options) {
    const int threads = options.threads > 0 ? options.threads : 1;  // the library's own default
    // It looks at the processor once, when the first configuration is made.
    const std::string cpuinfo = read_cpuinfo();
    const CpuinfoOverride shown(options.correct_cpu ? correct_cpu(cpuinfo).text : cpuinfo);
    std::map<std::string, Graph> graphs;
    for (const auto& [name, spec] : bundle.manifest.graphs) {
        const std::string file = graph_file(bundle, name, ".nb");
        note_phase(("loading " + file).c_str());
        lite::MobileConfig config;
        config.set_model_from_file(file);
        config.set_threads(threads);
        config.set_power_mode(power_mode_of(options.power_mode));
        const auto predictor = lite::CreatePaddlePredictor<lite::MobileConfig>(config);
        if (!predictor) throw Error("engine", "paddle-lite: " + file + " can't be loaded");
        check_names(name, spec, *predictor);
        graphs[name] = {predictor, spec};
    }
    return std::make_unique<PaddleLiteEngine>(std::move(graphs), threads, options.power_mode);
}

}  // namespace edge_seg
