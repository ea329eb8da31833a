#include "runner/stream.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "images/write_png.h"
#include "runner/clock.h"
#include "runner/interrupt.h"
#include "runner/overlay.h"
#include "runner/queue.h"
#include "runner/result_lines.h"

namespace edge_seg {
namespace {

// Frames on their way: one in each stage, and two more so that none waits for another. Of a camera's only two, one in
// the graphs and one around them, because what waits for the graphs grows old.
constexpr int kAtOnce = 6, kLiveAtOnce = 2;

// A frame and what becomes of it on its way.
struct Job {
    Frame frame;
    std::vector<float> blob;
    Raw raw;
    std::vector<float> maps;  // the engine's own are overwritten by the next frame
    StageTimes times;
    std::optional<StageTimes> first_times;  // of the first run, which is done apart
    int64_t begin = 0;
};

using Jobs = Queue<std::unique_ptr<Job>>;

class Stream {
  public:
    Stream(Segmenter& segmenter, Source& source, const StreamOptions& options, const Lines& lines)
        : segmenter_(segmenter), source_(source), options_(options), lines_(lines) {}

    void run() {
        const int64_t begin = now_ns();
        for (int i = 0; i < (source_.is_live() ? kLiveAtOnce : kAtOnce); ++i) idle_.push(std::make_unique<Job>());
        std::thread reader([this] { run_stage(idle_, read_, busy_.read, [this](Job& job) { return read(job); }); });
        std::thread preparer(
            [this] { run_stage(read_, prepared_, busy_.pre, [this](Job& job) { return prepare(job); }); });
        std::thread finisher(
            [this] { run_stage(inferred_, idle_, busy_.post, [this](Job& job) { return finish(job); }); });
        run_stage(prepared_, inferred_, busy_.model, [this](Job& job) { return infer(job); });
        finisher.join();
        end_waiting();  // of a source that the rest has no use for any more
        reader.join();
        preparer.join();
        say_end(now_ns() - begin);
        if (problem_) std::rethrow_exception(problem_);
        check_interrupted();
    }

  private:
    // What a thread does until its input ends or `work` says that it is the last. Its own end, or what went wrong, goes
    // on to the next stage behind all that came before.
    template <typename Work>
    void run_stage(Jobs& in, Jobs& out, int64_t& busy, const Work& work) {
        std::exception_ptr problem;
        try {
            for (auto job = in.pop(); job; job = in.pop()) {
                const int64_t begin = now_ns();
                const bool more = work(**job);
                busy += now_ns() - begin;
                if (!more) break;
                out.push(std::move(*job));
            }
        } catch (...) {
            problem = std::current_exception();
            end_waiting();  // the reader may wait for an image that nobody will look at
        }
        if (&out == &idle_) problem_ = problem;
        out.end(problem);
    }

    bool read(Job& job) {
        job.frame = Frame();
        if (options_.frames > 0 && taken_++ == options_.frames) return false;
        return source_.next(job.frame);
    }

    bool prepare(Job& job) {
        job.begin = now_ns();
        if (!job.frame.problem) job.raw.geometry = segmenter_.prepare(job.frame.image, job.blob, job.times);
        return true;
    }

    bool infer(Job& job) {
        if (interrupted()) return false;
        job.first_times.reset();
        if (job.frame.problem) return true;
        const Geometry geometry = job.raw.geometry;
        if (std::exchange(first_, false)) {
            StageTimes times = job.times;
            segmenter_.finish(segmenter_.infer(job.blob, geometry, times), times);
            times.total = now_ns() - job.begin;
            job.first_times = times;
            for (int i = 0; i < options_.warmup && !interrupted(); ++i) segmenter_.infer(job.blob, geometry, times);
            job.begin = now_ns() - job.times.pre;
        }
        job.raw = segmenter_.infer(job.blob, geometry, job.times);
        job.maps.assign(job.raw.maps, job.raw.maps + job.raw.kept.boxes.size() * job.raw.side * job.raw.side);
        job.raw.maps = job.maps.data();
        return true;
    }

    bool finish(Job& job) {
        const Frame& frame = job.frame;
        Values where = {{"image", frame.name}};
        if (frame.number) where["frame"] = *frame.number;
        if (frame.problem) {
            ++skipped_;
            say("skipped", where,
                {{"code", frame.problem->code}, {"message", frame.problem->what()}, {"remedy", frame.problem->remedy}});
            return true;
        }
        const Found found = segmenter_.finish(job.raw, job.times);
        job.times.total = now_ns() - job.begin;
        ++finished_;
        if (job.first_times) say("first_run", where, {{"instances", found.size()}, {"ns", as_json(*job.first_times)}});
        say("sample", where, {{"repeat", 0}, {"instances", found.size()}, {"ns", as_json(job.times)}});
        say("result", where, {{"width", found.width}, {"height", found.height}, {"instances", as_json(found)}});
        if (!options_.save.empty()) write_png(overlay_of(frame), draw(frame.image, found));
        return true;
    }

    void say(const char* kind, const Values& where, const Values& what) const {
        Values line = where;
        line.update(what);
        lines_.say(kind, line);
    }

    // clip-000012.png for a video's frame. An image that isn't PNG keeps its suffix before the new one: photo.jpg.png
    // and photo.png are two images.
    std::string overlay_of(const Frame& frame) const {
        const std::filesystem::path file(frame.name);
        std::string name = file.extension() == ".png" ? file.stem().string() : file.filename().string();
        if (frame.number) {
            char number[32];
            std::snprintf(number, sizeof number, "-%06lld", static_cast<long long>(*frame.number));
            name = file.stem().string() + number;
        }
        return (std::filesystem::path(options_.save) / (name + ".png")).string();
    }

    void say_end(int64_t ns) const {
        lines_.say(
            "stream",
            {{"frames", finished_},
             {"skipped", skipped_},
             {"ns", ns},
             {"frames_per_second", static_cast<double>(finished_) * 1e9 / static_cast<double>(ns)},
             {"busy_ns", {{"read", busy_.read}, {"pre", busy_.pre}, {"model", busy_.model}, {"post", busy_.post}}}});
    }

    Segmenter& segmenter_;
    Source& source_;
    const StreamOptions& options_;
    const Lines& lines_;

    // A job goes round: reader, preparer, the thread that calls, finisher, reader.
    Jobs idle_, read_, prepared_, inferred_;
    struct {
        int64_t read = 0, pre = 0, model = 0, post = 0;  // ns, each the business of one thread
    } busy_;
    int64_t taken_ = 0, finished_ = 0, skipped_ = 0;
    bool first_ = true;
    std::exception_ptr problem_;
};

}  // namespace

void run_stream(Segmenter& segmenter, Source& source, const StreamOptions& options, const Lines& lines) {
    Stream(segmenter, source, options, lines).run();
}

}  // namespace edge_seg
