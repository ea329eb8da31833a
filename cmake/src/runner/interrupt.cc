#include "runner/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>

#include "core/error.h"

namespace edge_seg {
namespace {

volatile sig_atomic_t g_noted = 0;
time_t g_when = 0;
std::atomic<bool> g_waiting_ended{false};
int g_wake[2] = {-1, -1};  // a pipe that becomes readable with the first signal, for those who wait for input

void wake() {
    if (g_wake[1] >= 0 && write(g_wake[1], "", 1) < 0) errno = 0;  // full: it is readable already
}

// A terminal's Ctrl-C reaches both processes, and the parent hands its own on: the same one arrives twice.
void note(int number) {
    const int before = errno;
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (g_noted != 0 && now.tv_sec > g_when + 1) {
        std::signal(number, SIG_DFL);
        std::raise(number);
    }
    if (g_noted == 0) {
        g_when = now.tv_sec;
        wake();
    }
    g_noted = 1;
    errno = before;
}

Error stopped() {
    return Error("interrupted", "stopped", "", 130);
}

}  // namespace

void watch_interrupts() {
    if (pipe2(g_wake, O_CLOEXEC | O_NONBLOCK) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
    return g_noted != 0;
}

void check_interrupted() {
    if (interrupted()) throw stopped();
}

void wait_for_input(int file) {
    input_within(file, -1);
}

bool input_within(int file, int limit_ms) {
    pollfd both[] = {{file, POLLIN, 0}, {g_wake[0], POLLIN, 0}};
    for (;;) {
        if (interrupted() || g_waiting_ended) throw stopped();
        const int ready = poll(both, 2, limit_ms);
        if (ready < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
        if (ready == 0) return false;
        if (ready > 0 && both[0].revents != 0 && both[1].revents == 0) return true;
    }
}

void end_waiting() {
    g_waiting_ended = true;
    wake();
}

}  // namespace edge_seg
