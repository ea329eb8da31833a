#include "core/json_fields.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

#include "core/error.h"

namespace edge_seg {
namespace {

constexpr char kRemedy[] = "copy the bundle again or convert anew";
constexpr size_t kMostShown = 80;
constexpr size_t kMostWhy = 300;
constexpr int kDeepest = 64;  // a manifest has 6

int64_t as_whole(const Json& value, const std::string& where) {
    // Larger ones than int64 are of another type to the JSON reader.
    const bool fits = value.is_number_integer() &&
                      !(value.is_number_unsigned() &&
                        value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
    if (!fits) refuse(where, "int", value);
    return value.get<int64_t>();
}

double as_number(const Json& value, const std::string& where) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(where, "a number", value);
    return value.get<double>();
}

std::string as_text(const Json& value, const std::string& where) {
    if (!value.is_string()) refuse(where, "str", value);
    return value.get<std::string>();
}

std::string item(const std::string& where, size_t index) {
    return where + "[" + std::to_string(index) + "]";
}

}  // namespace

Json parse_json(const std::vector<uint8_t>& content, const std::string& file, const std::string& code) {
    const auto fail = [&](const std::string& why) { throw Error(code, file + ": invalid JSON: " + why, kRemedy); };
    const auto shallow = [&fail](int depth, Json::parse_event_t, Json&) {
        if (depth > kDeepest) fail("nested too deep");
        return true;
    };
    try {
        return Json::parse(content, shallow);
    } catch (const Json::exception& problem) {
        std::string why = problem.what();  // it quotes what it read
        if (why.size() > kMostWhy) why.replace(kMostWhy, std::string::npos, "…");
        fail(why);
        throw;
    }
}

void refuse(const std::string& where, const std::string& expected, const Json& found) {
    std::string shown = found.dump();
    if (shown.size() > kMostShown) shown.replace(kMostShown, std::string::npos, "…");
    throw Error("manifest-invalid", where + ": expected " + expected + ", found " + shown, kRemedy);
}

Fields::Fields(const Json& value, std::string where) : object_(value), where_(std::move(where)) {
    if (!value.is_object()) refuse(where_, "an object", value);
}

bool Fields::has(const std::string& name) const {
    return object_.contains(name);
}

std::vector<std::string> Fields::names() const {
    std::vector<std::string> names;
    for (const auto& entry : object_.items()) names.push_back(entry.key());
    return names;
}

const Json& Fields::any(const std::string& name) {
    known_.insert(name);
    const auto found = object_.find(name);
    if (found == object_.end()) throw Error("manifest-invalid", where(name) + ": missing", kRemedy);
    return *found;
}

std::string Fields::text(const std::string& name) {
    return as_text(any(name), where(name));
}

bool Fields::truth(const std::string& name) {
    const Json& value = any(name);
    if (!value.is_boolean()) refuse(where(name), "bool", value);
    return value.get<bool>();
}

int64_t Fields::whole(const std::string& name) {
    return as_whole(any(name), where(name));
}

int Fields::small_whole(const std::string& name) {
    const int64_t value = whole(name);
    if (value != static_cast<int>(value)) refuse(where(name), "a number of less than 32 bits", value);
    return static_cast<int>(value);
}

double Fields::number(const std::string& name) {
    return as_number(any(name), where(name));
}

const Json& Fields::list(const std::string& name) {
    const Json& value = any(name);
    if (!value.is_array()) refuse(where(name), "a list", value);
    return value;
}

std::vector<std::string> Fields::texts(const std::string& name) {
    std::vector<std::string> out;
    for (const Json& value : list(name)) out.push_back(as_text(value, item(where(name), out.size())));
    return out;
}

std::vector<int64_t> Fields::wholes(const std::string& name) {
    std::vector<int64_t> out;
    for (const Json& value : list(name)) out.push_back(as_whole(value, item(where(name), out.size())));
    return out;
}

std::vector<double> Fields::numbers(const std::string& name, size_t count) {
    const Json& value = list(name);
    if (value.size() != count) refuse(where(name), std::to_string(count) + " values", value);
    std::vector<double> out;
    for (size_t i = 0; i < count; ++i) out.push_back(as_number(value[i], item(where(name), i)));
    return out;
}

std::map<std::string, std::string> Fields::text_map(const std::string& name) {
    Fields fields = object(name);
    std::map<std::string, std::string> out;
    for (const std::string& key : fields.names()) out[key] = fields.text(key);
    return out;
}

void Fields::refuse_others() const {
    for (const auto& entry : object_.items()) {
        if (known_.count(entry.key()) == 0) {
            throw Error("manifest-invalid", where(entry.key()) + ": unknown field", kRemedy);
        }
    }
}

}  // namespace edge_seg
