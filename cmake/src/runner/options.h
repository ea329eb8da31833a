// The command line: the options of edge_seg/runtime/runner.py, and those that only a native runner can have.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace edge_seg {

struct Options {
    std::string bundle, public_key;
    std::vector<std::string> images;
    std::string folder, video;
    std::optional<int> camera;
    bool watch = false;
    int frames = 0;
    int warmup = 3;
    int repeat = 10;
    int threads = 0;
    std::optional<int> instances, top_k;
    std::optional<double> score;
    std::string engine;
    std::string power_mode = "no-bind";
    std::vector<int> cores;
    bool cpu_as_it_is = false;
    bool warm = false;
    bool self_test = false;
    std::string save;
    bool json = false;

    // Whether images come one after the other, each to be worked on once.
    bool streams() const { return watch || camera || !video.empty(); }

    std::optional<std::string> answer;  // --help or --version: the text to print, nothing else to do
};

// Throws Error (usage).
Options parse_options(int count, char** words);

}  // namespace edge_seg
