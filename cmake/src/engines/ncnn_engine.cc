#include "engines/ncnn_engine.h"

#include <nlohmann/json.hpp>

#include <cpu.h>
#include <net.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/phase.h"
#include "engines/files.h"

namespace edge_seg {
namespace {

// It has no batches. A graph whose outputs are matrices gets its items as the rows of one matrix; any other is run for
// each item.
struct Graph {
    std::unique_ptr<ncnn::Net> net;
    GraphSpec spec;
    bool rows = false;
    std::map<std::string, std::vector<float>> outputs;
};

void require(int code, const std::string& doing) {
    if (code == 0) return;
    throw Error("engine-failed", "ncnn: " + doing + " failed with code " + std::to_string(code),
                "is there enough memory? Else copy the bundle again or convert anew");
}

ncnn::Mat matrix_of(const Tensor& tensor) {
    const auto height = static_cast<int>(tensor.shape[0]), width = static_cast<int>(tensor.count() / height);
    ncnn::Mat mat(width, height);
    std::memcpy(mat.data, tensor.data, static_cast<size_t>(tensor.count()) * sizeof(float));
    return mat;
}

// One of float32[N, C, H, W], each channel where ncnn's own would begin.
ncnn::Mat item_of(const Tensor& tensor, int64_t index) {
    const Shape& shape = tensor.shape;
    ncnn::Mat mat(static_cast<int>(shape[3]), static_cast<int>(shape[2]), static_cast<int>(shape[1]));
    const auto plane = static_cast<size_t>(shape[2] * shape[3]);
    const float* from = tensor.floats() + static_cast<size_t>(index * shape[1]) * plane;
    for (int c = 0; c < mat.c; ++c) std::memcpy(mat.channel(c).data, from + c * plane, plane * sizeof(float));
    return mat;
}

void append(const ncnn::Mat& mat, std::vector<float>& values) {
    const auto plane = static_cast<size_t>(mat.w) * mat.h;
    for (int c = 0; c < mat.c; ++c) {
        const float* from = mat.channel(c);
        values.insert(values.end(), from, from + plane);
    }
}

class NcnnEngine : public Engine {
  public:
    NcnnEngine(std::map<std::string, Graph> graphs, Json settings)
        : graphs_(std::move(graphs)), settings_(std::move(settings)) {}

    Tensors run(const std::string& name, const Tensors& inputs) override {
        Graph& graph = graphs_.at(name);
        const TensorSpec& input = graph.spec.inputs.at(0);
        const Tensor& given = inputs.at(input.name);
        for (auto& [output, values] : graph.outputs) values.clear();
        if (graph.rows) return run_one(graph, input.name, matrix_of(given), given.shape[0]);
        Tensors found;
        for (int64_t n = 0; n < given.shape[0]; ++n) found = run_one(graph, input.name, item_of(given, n), n + 1);
        return found;
    }

    Json describe() const override { return settings_; }

  private:
    // Appends the outputs to those of earlier items; returns views of all `count`.
    static Tensors run_one(Graph& graph, const std::string& input, const ncnn::Mat& mat, int64_t count) {
        ncnn::Extractor extractor = graph.net->create_extractor();
        require(extractor.input(input.c_str(), mat), "taking " + input);
        Tensors found;
        for (const TensorSpec& spec : graph.spec.outputs) {
            ncnn::Mat output;
            require(extractor.extract(spec.name.c_str(), output), "giving " + spec.name);
            if (output.elempack != 1 || output.elemsize != sizeof(float) || output.dims != mat.dims) {
                throw Error("engine-output", "ncnn: " + spec.name + " has " + std::to_string(output.dims) +
                                                 " dimensions, " + std::to_string(output.elemsize) + " bytes a value");
            }
            std::vector<float>& values = graph.outputs[spec.name];
            append(output, values);
            const Shape shape = graph.rows ? Shape{output.h, output.w} : Shape{count, output.c, output.h, output.w};
            found[spec.name] = {DType::kFloat32, shape, values.data()};
        }
        return found;
    }

    std::map<std::string, Graph> graphs_;
    Json settings_;
};

// Which cores its threads may use; 0 all, 1 the little ones, 2 the big ones.
void choose_cores(const std::string& power_mode) {
    static const std::map<std::string, int> modes = {{"full", 0}, {"low", 1}, {"high", 2}};
    if (power_mode == "no-bind") return;
    const auto mode = modes.find(power_mode);
    if (mode == modes.end()) {
        throw Error("usage", "--power-mode: '" + power_mode + "' isn't possible with ncnn",
                    "choose one of no-bind, high, low, full", 2);
    }
    if (ncnn::set_cpu_powersave(mode->second) != 0) {
        throw Error("usage", "--power-mode: '" + power_mode + "' isn't possible on this machine", "leave it out", 2);
    }
}

void check_names(const std::string& file, const Graph& graph) {
    const std::vector<const char*>&inputs = graph.net->input_names(), &outputs = graph.net->output_names();
    const auto has = [](const std::vector<const char*>& names, const std::string& name) {
        return std::any_of(names.begin(), names.end(), [&name](const char* other) { return name == other; });
    };
    const GraphSpec& spec = graph.spec;
    bool fits = inputs.size() == spec.inputs.size() && spec.inputs.size() == 1 && has(inputs, spec.inputs[0].name);
    // Its list of outputs leaves out those that another layer reads as well: what can't be given fails at the first
    // run.
    fits &= std::all_of(outputs.begin(), outputs.end(), [&spec](const char* name) {
        return std::any_of(spec.outputs.begin(), spec.outputs.end(),
                           [name](const auto& out) { return out.name == name; });
    });
    if (fits) return;
    throw Error("manifest-invalid", file + ": the graph has other inputs or outputs than its manifest says",
                "the manifest is another model's: copy the bundle again or convert anew");
}

}  // namespace

std::string ncnn_version() {
    return NCNN_VERSION_STRING;
}

std::unique_ptr<Engine> load_ncnn_engine(const Bundle& bundle, const EngineOptions& options) {
    const int threads = options.threads > 0 ? options.threads : 1;
    choose_cores(options.power_mode);
    std::map<std::string, Graph> graphs;
    Json in_fp16 = Json::array();
    for (const auto& [name, spec] : bundle.manifest.graphs) {
        const std::string param = graph_file(bundle, name, ".param"), weights = graph_file(bundle, name, ".bin");
        const std::vector<std::string>& wanted = bundle.manifest.fp16;
        const bool fp16 =
            ncnn::cpu_support_arm_asimdhp() != 0 && std::find(wanted.begin(), wanted.end(), name) != wanted.end();
        if (fp16) in_fp16.push_back(name);
        Graph graph;
        graph.net = std::make_unique<ncnn::Net>();
        graph.spec = spec;
        graph.rows = std::all_of(spec.outputs.begin(), spec.outputs.end(),
                                 [](const TensorSpec& output) { return output.shape.size() == 2; });
        // Before loading, which is when weights are transformed. Some are on by default. fp16: all or none, because
        // fp16 in memory with fp32 arithmetic takes ten times as long.
        ncnn::Option& option = graph.net->opt;
        option.num_threads = threads;
        option.use_vulkan_compute = option.use_bf16_storage = false;
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = fp16;
        note_phase(("loading " + param).c_str());
        require(graph.net->load_param(param.c_str()), "loading " + param);
        require(graph.net->load_model(weights.c_str()), "loading " + weights);
        check_names(param, graph);
        graphs[name] = std::move(graph);
    }
    return std::make_unique<NcnnEngine>(std::move(graphs), Json{{"name", "ncnn"},
                                                                {"version", ncnn_version()},
                                                                {"threads", threads},
                                                                {"power_mode", options.power_mode},
                                                                {"fp16", in_fp16}});
}

}  // namespace edge_seg
