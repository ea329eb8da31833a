#include "runner/run.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <new>
#include <set>
#include <system_error>

#include "core/limits.h"
#include "core/phase.h"
#include "images/folder.h"
#include "images/read_image.h"
#include "images/write_png.h"
#include "runner/clock.h"
#include "runner/interrupt.h"
#include "runner/machine.h"
#include "runner/overlay.h"
#include "runner/result_lines.h"
#include "runner/self_test.h"
#include "runner/stream.h"

namespace edge_seg {
namespace {

namespace fs = std::filesystem;

// Where each image's overlay goes: its name with .png; a name that is taken gets a number.
std::map<std::string, std::string> name_overlays(const std::vector<std::string>& images, const std::string& folder) {
    std::map<std::string, std::string> overlays;
    std::set<std::string> taken;
    for (const std::string& image : images) {
        const std::string stem = fs::path(image).stem().string();
        std::string name = stem + ".png";
        for (int number = 2; taken.count(name) > 0; ++number) name = stem + "-" + std::to_string(number) + ".png";
        if (!overlays.emplace(image, (fs::path(folder) / name).string()).second) continue;
        taken.insert(name);
        std::error_code none;
        if (fs::equivalent(overlays[image], image, none)) {
            throw Error("usage", overlays[image] + ": would be overwritten by the overlay image of " + image,
                        "give --save a folder of its own", 2);
        }
    }
    return overlays;
}

// All runs of one image; Ctrl-C ends them early, and what was found until then is said.
void measure(Segmenter& segmenter, const std::string& file, bool first, const Options& options, const Lines& lines,
             const std::string& overlay) {
    check_interrupted();
    note_phase(("reading " + file).c_str());
    const Image image = read_image(file);
    StageTimes times;
    std::optional<Found> found;
    const auto run_once = [&] { found = segmenter.run(image, times); };
    if (first) {
        run_once();
        lines.say("first_run", {{"image", file}, {"instances", found->size()}, {"ns", as_json(times)}});
    }
    for (int i = 0; i < options.warmup && !interrupted(); ++i) run_once();
    for (int repeat = 0; repeat < options.repeat && !interrupted(); ++repeat) {
        const int64_t start = now_ns(), cpu_before = cpu_ns();
        run_once();
        const int64_t cpu = cpu_ns() - cpu_before;
        lines.say("sample", {{"image", file},
                             {"repeat", repeat},
                             {"instances", found->size()},
                             {"ns", as_json(times)},
                             {"cpu_ns", cpu},
                             {"start_ns", start}});
    }
    if (found) {
        lines.say(
            "result",
            {{"image", file}, {"width", found->width}, {"height", found->height}, {"instances", as_json(*found)}});
        if (!overlay.empty()) write_png(overlay, draw(image, *found));
    }
    check_interrupted();
}

// The next line of standard input, false at its end; `waiting` holds what was read beyond it. Not std::getline, which
// reads on after a signal: Ctrl-C has to end the wait.
bool next_name(std::string& waiting, std::string& name) {
    for (;;) {
        const size_t end = waiting.find('\n');
        if (end != std::string::npos) {
            name = waiting.substr(0, end);
            waiting.erase(0, end + 1);
            return true;
        }
        wait_for_input(STDIN_FILENO);
        char block[4096];
        const ssize_t got = read(STDIN_FILENO, block, sizeof block);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) throw std::system_error(errno, std::generic_category(), "standard input");
        if (got == 0) {
            name = std::move(waiting);
            waiting.clear();
            return !name.empty();
        }
        waiting.append(block, static_cast<size_t>(got));
        if (waiting.size() > kNameLineBytes && waiting.find('\n') == std::string::npos) {
            throw Error("usage", "standard input: a line of more than " + std::to_string(kNameLineBytes) + " bytes",
                        "give a file's name in each line", 2);
        }
    }
}

// "-" stands for the names on standard input, a line each, each image done as soon as its name has come.
void each_image(const std::vector<std::string>& images, const std::function<void(const std::string&)>& work) {
    for (const std::string& image : images) {
        if (image != "-") {
            work(image);
            continue;
        }
        for (std::string waiting, name; next_name(waiting, name);) work(name);
    }
}

void test_itself(Engine& engine, const Bundle& bundle, const Lines& lines) {
    const SelfTest test = self_test(engine, bundle);
    lines.say("self_test", test.values);
    if (test.faults.empty()) return;
    std::string faults;
    for (const std::string& fault : test.faults) faults += (faults.empty() ? "" : "; ") + fault;
    throw Error("self-test-failed", "the self-test failed: " + faults,
                "copy the bundle again; if it fails again, this machine or its library doesn't compute it right");
}

// The golden image once, with a mask: libraries prepare their weights in the first run.
void warm_up(Engine& engine, const Bundle& bundle, const Lines& lines) {
    note_phase("warming up");
    SegmenterOptions options;
    options.instances = 1;
    StageTimes times;
    Segmenter(engine, bundle.manifest, options).run(read_image(bundle.file(bundle.manifest.golden.image)), times);
    lines.say("warm", {{"ns", as_json(times)}});
}

Values or_null(const std::optional<int64_t>& value) {
    return value ? Values(*value) : Values();
}

// The images named, then those of the folder.
std::vector<std::string> all_images(const Options& options) {
    std::vector<std::string> images = options.images;
    if (options.folder.empty()) return images;
    const std::vector<std::string> found = images_in(options.folder);
    if (found.empty()) {
        throw Error("image-missing", options.folder + ": no images in this folder",
                    "images end with .jpg, .jpeg or .png; folders below aren't searched");
    }
    images.insert(images.end(), found.begin(), found.end());
    return images;
}

void measure_images(Segmenter& segmenter, const Options& options, const std::vector<std::string>& images,
                    std::map<std::string, std::string>& overlays, const Lines& lines) {
    bool first = true;
    each_image(images, [&](const std::string& image) {
        measure(segmenter, image, first, options, lines, overlays[image]);
        first = false;
    });
}

std::unique_ptr<Source> open_source(const Options& options) {
    if (options.watch) return watch_folder(options.folder);
    return options.camera ? open_camera(*options.camera) : open_video(options.video);
}

// An image saved where new ones are watched for would be the next to be worked on.
void refuse_circle(const Options& options) {
    std::error_code none;
    if (!options.watch || !fs::equivalent(options.folder, options.save, none)) return;
    throw Error("usage", options.save + ": watched, and images would be saved there", "give --save a folder of its own",
                2);
}

void do_all(const Options& options, const Lines& lines) {
    if (!options.cores.empty()) bind_to(options.cores);
    lines.say("hello", describe_runner(!options.cpu_as_it_is));
    const int64_t begin = now_ns();
    note_phase("opening the bundle");
    const std::vector<std::string> keys = options.public_key.empty() ? trusted_keys() : std::vector{options.public_key};
    const Bundle bundle = open_bundle(options.bundle, keys, options.self_test);
    std::vector<std::string> images;
    std::map<std::string, std::string> overlays;
    std::unique_ptr<Source> source;
    if (!options.streams()) images = all_images(options);
    if (!options.save.empty()) {
        fs::create_directories(options.save);
        refuse_circle(options);
        overlays = name_overlays(images, options.save);
    }
    if (options.streams()) {
        note_phase("opening the video");
        source = open_source(options);
    }
    note_phase("loading the engine");
    const auto engine =
        open_engine(bundle, {options.engine, options.threads, options.power_mode, !options.cpu_as_it_is});
    // A stream's stages are at work at the same time, each in a thread of its own.
    const int threads = options.streams() ? 1 : std::max(1, options.threads);
    Segmenter segmenter(*engine, bundle.manifest, {options.score, options.instances, options.top_k, threads});
    lines.say("load", {{"ns", now_ns() - begin},
                       {"engine", engine->describe()},
                       {"bundle", bundle.manifest.name},
                       {"signature", name_of(bundle.signature)},
                       {"files", bundle.hashed ? "checked" : "checked before"}});
    const std::optional<int64_t> loaded = peak_memory();
    const auto say_memory = [&] {
        lines.say("memory", {{"load_bytes", or_null(loaded)},
                             {"peak_bytes", or_null(peak_memory())},
                             {"huge_bytes", or_null(huge_memory())}});
    };
    try {
        if (options.warm) warm_up(*engine, bundle, lines);
        if (source) run_stream(segmenter, *source, {options.frames, options.warmup, options.save}, lines);
        measure_images(segmenter, options, images, overlays, lines);
        if (options.self_test) test_itself(*engine, bundle, lines);  // last, or the first run wouldn't be the first
    } catch (const Error& problem) {
        if (problem.code == "interrupted") say_memory();
        throw;
    }
    say_memory();
    lines.say("done", Values::object());
}

}  // namespace

Error current_error() {
    try {
        throw;
    } catch (const Error& problem) {
        return problem;
    } catch (const std::system_error& problem) {
        const char* name = problem.code() == std::errc::no_space_on_device      ? "enospc"
                           : problem.code() == std::errc::permission_denied     ? "eacces"
                           : problem.code() == std::errc::not_a_directory       ? "enotdir"
                           : problem.code() == std::errc::file_exists           ? "enotdir"
                           : problem.code() == std::errc::read_only_file_system ? "erofs"
                                                                                : "os";
        return Error(name, problem.what(), "check the name, its permissions, and the space on the disk");
    } catch (const std::bad_alloc&) {
        return Error("memory", "out of memory", "use a smaller size");
    } catch (const std::exception& problem) {
        return Error("bug", std::string("unexpected: ") + problem.what(),
                     "this is a bug in edge-seg: please report it with this message");
    } catch (...) {
        return Error("bug", "unexpected: something was thrown that is no exception",
                     "this is a bug in edge-seg or in the library: please report it");
    }
}

int run(const Options& options, const Lines& lines) {
    try {
        do_all(options, lines);
        return 0;
    } catch (...) {
        const Error error = current_error();
        try {
            lines.say(error);
        } catch (const std::system_error&) {
            return 1;  // nobody listens, or the disk is full
        }
        return error.exit_code;
    }
}

}  // namespace edge_seg
