// The command line: the options of edge_seg/runtime/runner.py, and those that only a native runner can have.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace edge_seg {

struct Options {
    std::string bundle;
    std::vector<std::string> images;
    int warmup = 3;
    int repeat = 10;
    int threads = 0;
    std::optional<int> instances;
    std::optional<double> score;
    std::string engine;
    std::string power_mode = "no-bind";
    std::vector<int> cores;
    bool self_test = false;
    std::string save;
    bool json = false;

    std::optional<std::string> answer;  // --help or --version: the text to print, nothing else to do
};

// Throws Error (usage).
Options parse_options(int count, char** words);

}  // namespace edge_seg
