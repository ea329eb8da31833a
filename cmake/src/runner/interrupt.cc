#include "runner/interrupt.h"

#include <csignal>
#include <ctime>

#include "core/error.h"

namespace edge_seg {
namespace {

volatile sig_atomic_t g_noted = 0;
time_t g_when = 0;

// A terminal's Ctrl-C reaches both processes, and the parent hands its own on: the same one arrives twice.
void note(int number) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (g_noted != 0 && now.tv_sec > g_when + 1) {
        std::signal(number, SIG_DFL);
        std::raise(number);
    }
    if (g_noted == 0) g_when = now.tv_sec;
    g_noted = 1;
}

}  // namespace

void watch_interrupts() {
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

void check_interrupted() {
    if (g_noted != 0) throw Error("interrupted", "stopped", "", 130);
}

}  // namespace edge_seg
