// edge-seg-run: the native runner. Protocol and options are those of edge_seg/runtime/runner.py.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "runner/identity.h"
#include "runner/lines.h"
#include "runner/options.h"
#include "runner/run.h"
#include "runner/supervise.h"

namespace {

// Nothing in the program reads it, so the linker has to be told to keep it.
[[gnu::used]] const char* const identity = edge_seg::kIdentity;

bool wants_json(int count, char** words) {
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(words[i], "--json") == 0) return true;
    }
    return false;
}

int run_all(int count, char** words) {
    const edge_seg::Options options = edge_seg::parse_options(count, words);
    if (options.answer) return std::puts(options.answer->c_str()) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
    return edge_seg::supervise(options.json,
                               [&options](const edge_seg::Lines& lines) { return edge_seg::run(options, lines); });
}

}  // namespace

int main(int count, char** words) {
    std::signal(SIGPIPE, SIG_IGN);  // a reader that went away shows as a failed write
    try {
        return run_all(count, words);
    } catch (...) {
        const edge_seg::Error error = edge_seg::current_error();
        try {
            edge_seg::Lines(STDOUT_FILENO, wants_json(count, words)).say(error);
        } catch (const std::exception& problem) {
            std::fprintf(stderr, "Error: %s (%s)\n", error.what(), problem.what());
        }
        return error.exit_code;
    }
}
