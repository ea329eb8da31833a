#include "runner/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/error.h"
#include "engines/engine.h"

namespace edge_seg {
namespace {

constexpr char kRemedy[] = "--help lists the options";

[[noreturn]] void refuse(const std::string& message, const std::string& remedy = kRemedy) {
    throw Error("usage", message, remedy, 2);
}

void check_least(const char* name, int value, int least) {
    if (value < least)
        refuse(std::string("--") + name + ": " + std::to_string(value) + " is less than " + std::to_string(least));
}

constexpr char kFooter[] =
    "Images are run again and again and measured; frames of a video, of a camera and images of a watched folder once\n"
    "each, as fast as they come. Examples:\n"
    "  edge-seg-run --bundle BUNDLE --image photo.jpg --json\n"
    "  edge-seg-run --bundle BUNDLE --folder photos --warmup 0 --repeat 1 --save found\n"
    "  edge-seg-run --bundle BUNDLE --camera 0 --frames 100 --score 0.5\n"
    "  edge-seg-run --bundle BUNDLE --folder incoming --watch --save found\n"
    "  ffmpeg -i clip.mp4 -f yuv4mpegpipe - | edge-seg-run --bundle BUNDLE --video - --json";

void check_inputs(const Options& options) {
    const int streams = (options.watch ? 1 : 0) + (options.camera ? 1 : 0) + (options.video.empty() ? 0 : 1);
    if (options.watch && options.folder.empty()) refuse("--watch: no folder to watch", "name it with --folder");
    if (streams > 1) refuse("a video, a camera and a watched folder exclude one another", "give one of them");
    if (streams == 1 && (!options.images.empty() || (!options.folder.empty() && !options.watch))) {
        refuse("images and a video, a camera or a watched folder exclude one another", "give one kind of them");
    }
    if (streams == 1 && options.self_test) {
        refuse("--self-test: not together with a video, a camera or a watched folder", "run it by itself before");
    }
    if (streams == 0 && options.frames != 0) {
        refuse("--frames: only for a video, a camera or a watched folder", "leave it out");
    }
    if (streams == 0 && options.images.empty() && options.folder.empty() && !options.self_test) {
        refuse("nothing to do", "give --image, --folder, --video, --camera or --self-test");
    }
}

void check(const Options& options) {
    check_inputs(options);
    check_least("frames", options.frames, 0);
    if (options.camera) check_least("camera", *options.camera, 0);
    const auto& images = options.images;
    if (!options.save.empty() && std::find(images.begin(), images.end(), "-") != images.end())
        refuse("--save: can't be had for names on standard input", "name the images with --images");
    check_least("warmup", options.warmup, 0);
    check_least("repeat", options.repeat, 1);
    check_least("threads", options.threads, 0);
    const auto& modes = kPowerModes;
    if (std::find(std::begin(modes), std::end(modes), options.power_mode) == std::end(modes)) {
        std::string known;
        for (const char* mode : modes) known += (known.empty() ? "" : ", ") + std::string(mode);
        refuse("--power-mode: '" + options.power_mode + "' is unknown", "choose one of " + known);
    }
}

// "4,5,6,7"
void add_cores(const std::string& list, std::vector<int>& cores) {
    for (size_t begin = 0; begin <= list.size();) {
        const size_t end = std::min(list.find(',', begin), list.size());
        int core = -1;
        const char *first = list.data() + begin, *last = list.data() + end;
        const auto [rest, problem] = std::from_chars(first, last, core);
        if (problem != std::errc() || rest != last || core < 0) {
            refuse("--cores: '" + list + "' is no list of cores", "give numbers of cores, such as 4,5,6,7");
        }
        cores.push_back(core);
        begin = end + 1;
    }
}

// The path as pathlib would print it, so that both runners name an image alike: "./a//b.jpg" is "a/b.jpg".
std::string plain(const std::string& path) {
    std::string out;
    for (const auto& part : std::filesystem::path(path)) {
        const std::string name = part.string();
        if (name.empty() || name == ".") continue;
        if (!out.empty() && out.back() != '/') out += '/';
        out += name;
    }
    return out.empty() ? "." : out;
}

}  // namespace

Options parse_options(int count, char** words) {
    Options options;
    std::vector<std::string> cores;
    CLI::App app("Runs a bundle and measures it; says what happened in lines on stdout.", "edge-seg-run");
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    app.footer(kFooter);
    app.set_version_flag("--version", EDGE_SEG_VERSION);
    app.add_option("--bundle", options.bundle, "folder of the bundle")->required();
    app.add_option("--public-key", options.public_key,
                   "the bundle must be signed with a key in this PEM file (or in ~/.config/edge-seg/trusted-keys)")
        ->type_name("FILE");
    app.add_option("--images,--image", options.images, "images, JPEG or PNG; -: names on stdin, a line each")
        ->type_name("FILE")
        ->take_all();
    app.add_option("--folder", options.folder, "all images in a folder, not those in folders below")->type_name("DIR");
    app.add_flag("--watch", options.watch, "and those that appear in it later, each when it is complete, until Ctrl-C");
    app.add_option("--video", options.video, "a video: Y4M or Motion JPEG, others through ffmpeg; - is stdin")
        ->type_name("FILE");
    app.add_option("--camera", options.camera, "a camera: /dev/videoN")->type_name("N");
    app.add_option("--frames", options.frames, "end after so many frames; 0: all of them")->capture_default_str();
    app.add_option("--warmup", options.warmup, "runs before those that count, an image; a video's first frame")
        ->capture_default_str();
    CLI::Option* repeat =
        app.add_option("--repeat", options.repeat, "runs that count, an image")->capture_default_str();
    app.add_option("--threads", options.threads, "threads; 0: the engine's choice")->capture_default_str();
    app.add_option("--instances", options.instances, "take exactly so many best boxes, whatever their scores");
    app.add_option("--score", options.score, "keep what scores more than this (the bundle's)");
    app.add_option("--top-k", options.top_k, "keep so many at most, the best (the bundle's)");
    app.add_option("--engine", options.engine, "engine (the bundle's)");
    app.add_option("--power-mode", options.power_mode, "cores that the library chooses: no-bind, high, low, full, …")
        ->capture_default_str();
    app.add_option("--cores", cores, "run on these cores only: 4,5,6,7")->type_name("N,…")->take_all();
    app.add_flag("--cpu-as-it-is", options.cpu_as_it_is, "don't show Paddle Lite a core that it knows for its twin");
    app.add_flag("--warm", options.warm,
                 "run the golden image once before anything else, which makes the first one fast");
    app.add_flag("--self-test", options.self_test, "first compare the golden image's result");
    app.add_option("--save", options.save, "write images with what was found there")->type_name("DIR");
    app.add_flag("--json", options.json, "JSON lines (without it: the same lines, for people)");
    try {
        app.parse(count, words);
    } catch (const CLI::CallForVersion&) {
        options.answer = EDGE_SEG_VERSION;
        return options;
    } catch (const CLI::CallForHelp&) {
        options.answer = app.help();
        return options;
    } catch (const CLI::ParseError& problem) {
        refuse(problem.what());
    }
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& word : option->results()) {  // CLI11 takes an empty one for 0
            if (word.empty()) refuse(option->get_name() + ": an empty word");
        }
    }
    for (const std::string& list : cores) add_cores(list, options.cores);
    check(options);
    if (options.streams() && repeat->count() > 0) {
        refuse("--repeat: every frame is run once", "leave it out");
    }
    options.bundle = plain(options.bundle);
    for (std::string& image : options.images) image = plain(image);
    if (!options.folder.empty()) options.folder = plain(options.folder);
    return options;
}

}  // namespace edge_seg
