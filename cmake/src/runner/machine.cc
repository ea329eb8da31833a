#include "runner/machine.h"

#include <nlohmann/json.hpp>

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "engines/cpuinfo_override.h"
#include "engines/engine.h"
#include "images/decoders.h"

namespace edge_seg {
namespace {

constexpr int kProtocol = 1;

std::string trimmed(const std::string& text) {
    const char* blank = " \t";
    const size_t begin = text.find_first_not_of(blank);
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

using CpuFields = std::map<std::string, std::vector<std::string>>;

// The values of each key of /proc/cpuinfo, one a core.
CpuFields fields_of(const std::string& cpuinfo) {
    CpuFields fields;
    std::istringstream file(cpuinfo);
    for (std::string line; std::getline(file, line);) {
        const size_t colon = line.find(':');
        const std::string value = colon == std::string::npos ? "" : trimmed(line.substr(colon + 1));
        fields[trimmed(line.substr(0, colon))].push_back(value);
    }
    return fields;
}

// Arm kernels print no name; there it is the implementer and part of each kind of core: "0x41:0xd03 + 0x41:0xd09".
std::string cpu_name(CpuFields& fields, const char* machine) {
    if (!fields["model name"].empty() && !fields["model name"][0].empty()) return fields["model name"][0];
    const auto &implementers = fields["CPU implementer"], &parts = fields["CPU part"];
    std::vector<std::string> kinds;
    for (size_t i = 0; i < std::min(implementers.size(), parts.size()); ++i) {
        const std::string kind = implementers[i] + ":" + parts[i];
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    }
    std::string name;
    for (const std::string& kind : kinds) name += (name.empty() ? "" : " + ") + kind;
    return name.empty() ? machine : name;
}

Values allowed_cores() {
    Values cores = Values::array();
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
    return cores;
}

Values describe_cpu(CpuFields fields, const char* machine) {
    const auto& names = fields["flags"].empty() ? fields["Features"] : fields["flags"];
    std::istringstream words(names.empty() ? "" : names[0]);
    Values flags = Values::array();
    for (std::string word; words >> word;) flags.push_back(word);
    return {{"name", cpu_name(fields, machine)},
            {"flags", flags},
            {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
            {"allowed_cores", allowed_cores()}};
}

// What a field of a file of /proc/self tells in kB ("VmHWM:"); nothing where the system doesn't.
std::optional<int64_t> memory_of_process(const char* path, const std::string& field) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.rfind(field, 0) == 0) return std::stoll(line.substr(field.size())) * 1024;
    }
    return std::nullopt;
}

}  // namespace

Values describe_runner(bool correct_cpu) {
    utsname system{};
    uname(&system);
    const std::string cpuinfo = read_cpuinfo();
    const CorrectedCpu shown = correct_cpu ? edge_seg::correct_cpu(cpuinfo) : CorrectedCpu{cpuinfo, {}};
    CpuFields fields = fields_of(shown.text);
    Values libraries = {{"jpeg", jpeg_version()}, {"png", png_version()}};
    const Json engines = engine_libraries();
    for (const auto& entry : engines.items()) libraries[entry.key()] = entry.value();
    return {{"runner", "native"},
            {"version", EDGE_SEG_VERSION},
            {"protocol", kProtocol},
            {"compiler", __VERSION__},
            {"platform", std::string(system.sysname) + "-" + system.release + "-" + system.machine},
            {"machine", system.machine},
            {"cpu", describe_cpu(fields_of(cpuinfo), system.machine)},
            {"library_cpu", {{"name", cpu_name(fields, system.machine)}, {"replaced", shown.parts}}},
            {"libraries", libraries}};
}

std::optional<int64_t> peak_memory() {
    return memory_of_process("/proc/self/status", "VmHWM:");
}

std::optional<int64_t> huge_memory() {
    return memory_of_process("/proc/self/smaps_rollup", "AnonHugePages:");
}

void bind_to(const std::vector<int>& cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) {
        if (core < CPU_SETSIZE) CPU_SET(core, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) == 0) return;
    throw Error("usage",
                std::string("--cores: this machine doesn't let this process run there: ") + std::strerror(errno),
                "give numbers of cores that it has, or leave it out", 2);
}

}  // namespace edge_seg
