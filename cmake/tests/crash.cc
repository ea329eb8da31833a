// A runner whose engine dies in its second run, the way that is named, for tests/native: crash BUNDLE WAY [--json].
// What a library may do to the process must end in an `error` line; no shipped program holds an engine that does it.
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <new>
#include <stdexcept>

#include "engines/checks.h"
#include "engines/null_engine.h"
#include "runner/run.h"
#include "runner/segmenter.h"
#include "runner/supervise.h"

namespace edge_seg {
namespace {

// Its ends are volatile, so that no compiler sees through it.
int overflow_stack(volatile int depth) {
    volatile char page[4096];
    page[0] = static_cast<char>(depth);
    return depth < 0 ? 0 : overflow_stack(depth + 1) + page[0];
}

const std::map<std::string, std::function<void()>> kWays = {
    {"abort", [] { std::abort(); }},
    {"segfault", [] { std::raise(SIGSEGV); }},
    {"null",
     [] { *static_cast<volatile int*>(std::getenv("EDGE_SEG_NO_SUCH_VARIABLE") == nullptr ? nullptr : new int) = 1; }},
    {"stack", [] { overflow_stack(0); }},
    {"fpe", [] { std::raise(SIGFPE); }},
    {"illegal", [] { std::raise(SIGILL); }},
    {"bus", [] { std::raise(SIGBUS); }},
    {"killed", [] { std::raise(SIGKILL); }},
    {"terminate", [] { std::terminate(); }},
    {"throws", [] { throw std::runtime_error("the library's own words"); }},
    {"throws-other", [] { throw 1; }},
    {"memory", [] { throw std::bad_alloc(); }},
    {"exit", [] { std::exit(0); }},
    {"chatter", [] { std::puts("printed by the library"), std::fflush(stdout), std::abort(); }},
};

class Dying : public Engine {
  public:
    Dying(std::unique_ptr<Engine> engine, const std::function<void()>& way) : engine_(std::move(engine)), way_(way) {}

    Tensors run(const std::string& graph, const Tensors& inputs) override {
        if (graph == "detect" && ++runs_ == 2) way_();
        return engine_->run(graph, inputs);
    }
    Json describe() const override { return engine_->describe(); }

  private:
    std::unique_ptr<Engine> engine_;
    const std::function<void()>& way_;
    int runs_ = 0;
};

int work(const std::string& path, const std::string& way, const Lines& lines) {
    try {
        const Bundle bundle = open_bundle(path);
        const auto engine =
            checked(std::make_unique<Dying>(load_null_engine(bundle), kWays.at(way)), "dying", bundle.manifest);
        Segmenter segmenter(*engine, bundle.manifest, {});
        StageTimes times;
        for (int repeat = 0; repeat < 3; ++repeat) {
            segmenter.run(Image(40, 30), times);
            lines.say("sample", {{"repeat", repeat}});
        }
        return 0;
    } catch (...) {
        const Error error = current_error();
        lines.say(error);
        return error.exit_code;
    }
}

}  // namespace
}  // namespace edge_seg

int main(int count, char** words) {
    if (count < 3) return 2;
    return edge_seg::supervise(
        count > 3, [words](const edge_seg::Lines& lines) { return edge_seg::work(words[1], words[2], lines); });
}
