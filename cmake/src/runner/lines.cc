#include "runner/lines.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace edge_seg {
namespace {

// File names may hold bytes that are no UTF-8.
std::string dumped(const Values& values) {
    return values.dump(-1, ' ', true, Values::error_handler_t::replace);
}

std::string for_people(const Values& value) {
    if (value.is_object()) {
        std::string text;
        for (const auto& entry : value.items()) {
            text += (text.empty() ? "" : " ") + entry.key() + " " + for_people(entry.value());
        }
        return "(" + text + ")";
    }
    if (value.is_array()) {
        if (!value.empty() && !value[0].is_string()) return std::to_string(value.size()) + " items";
        std::string text;
        for (const Values& word : value) text += (text.empty() ? "" : ",") + for_people(word);
        return text;
    }
    return value.is_string() ? value.get<std::string>() : dumped(value);
}

std::string text_line(const std::string& kind, const Values& values) {
    std::string text;
    for (const auto& entry : values.items()) {
        text += (text.empty() ? "" : ", ") + entry.key() + " " + for_people(entry.value());
    }
    return kind + ": " + text;
}

}  // namespace

void Lines::say(const std::string& kind, const Values& values) const {
    std::string line;
    if (json_) {
        line = "{\"type\":" + dumped(kind);
        if (!values.empty()) line += ',';
        line += dumped(values).substr(1);
    } else {
        line = text_line(kind, values);
    }
    line += '\n';
    if (unfinished_ != nullptr) *unfinished_ = true;
    for (size_t written = 0; written < line.size();) {
        const ssize_t count = write(file_, line.data() + written, line.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw std::system_error(errno, std::generic_category(), "standard output");
        written += static_cast<size_t>(count);
    }
    if (unfinished_ != nullptr) *unfinished_ = false;
}

void Lines::say(const Error& error) const {
    say("error", {{"code", error.code}, {"message", error.what()}, {"remedy", error.remedy}});
}

}  // namespace edge_seg
