// A plugin of qemu's user mode that counts the emulated processor's instructions, for benchmarks/native_count.py.
//
//   qemu-aarch64 -plugin libedge-seg-count.so,out=FILE[,blocks=FILE] … PROGRAM …
//
// `out` gets a line at each system call that reads the clock or writes: "PID clock COUNT", "PID write FD COUNT", where
// COUNT is the number of instructions so far. The runner reads the clock at the borders of its stages, and writes a
// line when it has measured them: so the program that is counted is the one that boards run.
// `blocks` gets, when the program ends, "ADDRESS INSTRUCTIONS" of each block of code.
//
// Counts are exact as long as one thread works. Distributions' qemu packages come without qemu-plugin.h, so what is
// used of it (version 1 of the interface, qemu 4.2 and newer) is declared here.
#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

extern "C" {

struct qemu_plugin_tb;
struct qemu_plugin_info {
    const char* target_name;
    // what follows isn't used
};
using CountId = uint64_t;
using TranslatedCallback = void (*)(CountId, qemu_plugin_tb*);
using SystemCallCallback = void (*)(CountId, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                                    uint64_t, uint64_t, uint64_t, uint64_t);
using EndCallback = void (*)(CountId, void*);

void qemu_plugin_register_vcpu_tb_trans_cb(CountId id, TranslatedCallback callback);
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb* block, int operation, void* counter, uint64_t value);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_syscall_cb(CountId id, SystemCallCallback callback);
void qemu_plugin_register_atexit_cb(CountId id, EndCallback callback, void* data);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

}  // extern "C"

namespace {

constexpr int kAdd = 0;  // the only operation there is

struct Calls {
    int64_t clock, clock64, write;
};

uint64_t g_count = 0;
std::map<uint64_t, uint64_t> g_blocks;  // its nodes stay where they are
int g_out = -1;
std::string g_blocks_file;
Calls g_calls{};

void count_block(CountId, qemu_plugin_tb* block) {
    const uint64_t instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, kAdd, &g_count, instructions);
    if (g_blocks_file.empty()) return;
    qemu_plugin_register_vcpu_tb_exec_inline(block, kAdd, &g_blocks[qemu_plugin_tb_vaddr(block)], instructions);
}

void say(const char* what, uint64_t detail, bool with_detail) {
    char line[100];
    const int length = with_detail ? std::snprintf(line, sizeof line, "%d %s %" PRIu64 " %" PRIu64 "\n", getpid(), what,
                                                   detail, g_count)
                                   : std::snprintf(line, sizeof line, "%d %s %" PRIu64 "\n", getpid(), what, g_count);
    (void)!write(g_out, line, static_cast<size_t>(length));
}

void note_call(CountId, unsigned, int64_t number, uint64_t first, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
               uint64_t, uint64_t) {
    if (number == g_calls.clock || number == g_calls.clock64) say("clock", 0, false);
    if (number == g_calls.write) say("write", first, true);
}

void write_blocks(CountId, void*) {
    const std::string file = g_blocks_file + "." + std::to_string(getpid());
    if (FILE* out = std::fopen(file.c_str(), "w")) {
        for (const auto& [address, count] : g_blocks) std::fprintf(out, "%" PRIx64 " %" PRIu64 "\n", address, count);
        std::fclose(out);
    }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int qemu_plugin_install(CountId id, const qemu_plugin_info* info,
                                                                          int argc, char** argv) {
    // Numbers of clock_gettime, clock_gettime64 and write.
    if (std::strcmp(info->target_name, "aarch64") == 0) {
        g_calls = {113, 113, 64};
    } else if (std::strcmp(info->target_name, "arm") == 0) {
        g_calls = {263, 403, 4};
    } else {
        std::fprintf(stderr, "Error: instructions of %s aren't counted: expected aarch64 or arm\n", info->target_name);
        return 1;
    }
    for (int i = 0; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.rfind("out=", 0) == 0) {
            g_out = open(word.c_str() + 4, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        }
        if (word.rfind("blocks=", 0) == 0) g_blocks_file = word.substr(7);
    }
    if (g_out < 0) {
        std::fprintf(stderr, "Error: the plugin needs out=FILE, a file that can be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, note_call);
    if (!g_blocks_file.empty()) qemu_plugin_register_atexit_cb(id, write_blocks, nullptr);
    return 0;
}
