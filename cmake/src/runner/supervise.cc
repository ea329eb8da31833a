#include "runner/supervise.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "core/phase.h"
#include "runner/interrupt.h"

namespace edge_seg {
namespace {

// What the child tells without a system call; it stays readable when the child is gone.
struct Shared {
    char phase[kPhaseSize];
    volatile bool unfinished_line;
    volatile bool ended;  // by itself, all said
};

pid_t g_child = 0;

void hand_on(int number) {
    if (g_child > 0) kill(g_child, number);
}

Shared* share() {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    return static_cast<Shared*>(memory);
}

[[noreturn]] void be_child(pid_t parent, Shared* shared, bool json, const std::function<int(const Lines&)>& work) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died before that took effect
    std::signal(SIGPIPE, SIG_IGN);
    set_phase_memory(shared->phase);
    const int out = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    const int code = work(Lines(out, json, &shared->unfinished_line));
    shared->ended = true;
    _exit(code);  // libraries crash in their destructors; all has been said
}

std::string name_of_signal(int number) {
    switch (number) {
        case SIGABRT:
            return "SIGABRT";
        case SIGBUS:
            return "SIGBUS";
        case SIGFPE:
            return "SIGFPE";
        case SIGILL:
            return "SIGILL";
        case SIGKILL:
            return "SIGKILL";
        case SIGSEGV:
            return "SIGSEGV";
        default:
            return "signal " + std::to_string(number);
    }
}

// While it lives, SIGINT and SIGTERM wait: none may arrive when neither process's handler stands.
class SignalsWait {
  public:
    SignalsWait() {
        sigset_t both;
        sigemptyset(&both);
        sigaddset(&both, SIGINT);
        sigaddset(&both, SIGTERM);
        sigprocmask(SIG_BLOCK, &both, &before_);
    }
    ~SignalsWait() { end(); }
    SignalsWait(const SignalsWait&) = delete;
    SignalsWait& operator=(const SignalsWait&) = delete;

    void end() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

Error death(int status, const char* phase) {
    const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (number == SIGINT || number == SIGTERM) return Error("interrupted", "stopped", "", 128 + number);
    const std::string during = *phase != '\0' ? std::string(" while ") + phase : "";
    const std::string how = number != 0
                                ? "died of " + name_of_signal(number)
                                : "was ended by the library with exit code " + std::to_string(WEXITSTATUS(status));
    return Error(
        "crashed", "the process " + how + during,
        number == SIGKILL
            ? "the system kills a process like this when memory runs out: use a smaller size, or free some memory"
            : "the library's own words are on stderr; convert the model again, or try another engine");
}

}  // namespace

int supervise(bool json, const std::function<int(const Lines&)>& work) {
    Shared* shared = share();
    const pid_t parent = getpid();
    struct sigaction action {};
    action.sa_handler = hand_on;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    SignalsWait waiting;
    g_child = fork();
    if (g_child < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (g_child == 0) {
        watch_interrupts();
        waiting.end();
        be_child(parent, shared, json, work);
    }
    waiting.end();
    int status = 0;
    while (waitpid(g_child, &status, 0) < 0 && errno == EINTR) {
    }
    g_child = 0;
    if (WIFEXITED(status) && shared->ended) return WEXITSTATUS(status);
    const Error error = death(status, shared->phase);
    std::signal(SIGPIPE, SIG_IGN);
    if (shared->unfinished_line) (void)!write(STDOUT_FILENO, "\n", 1);
    Lines(STDOUT_FILENO, json).say(error);
    return error.exit_code;
}

}  // namespace edge_seg
