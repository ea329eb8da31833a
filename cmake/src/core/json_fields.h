// Typed reading of JSON objects, naming the field that is missing, unknown or of another type.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace edge_seg {

using Json = nlohmann::json;

// The JSON in `content`, at most kJsonBytes and not nested without end. Throws Error with `code`: "FILE: invalid JSON:
// …".
Json parse_json(const std::vector<uint8_t>& content, const std::string& file, const std::string& code);

// An object's fields. `where` names the object in messages: "bundle/manifest.json: manifest.preprocess".
class Fields {
  public:
    // Throws Error (manifest-invalid), as all of this does, when `value` isn't an object.
    Fields(const Json& value, std::string where);

    const std::string& where() const { return where_; }
    std::string where(const std::string& name) const { return where_ + "." + name; }
    bool has(const std::string& name) const;
    std::vector<std::string> names() const;

    const Json& any(const std::string& name);
    Fields object(const std::string& name) { return Fields(any(name), where(name)); }
    std::string text(const std::string& name);
    bool truth(const std::string& name);
    int64_t whole(const std::string& name);
    int small_whole(const std::string& name);  // one that an int holds
    double number(const std::string& name);
    const Json& list(const std::string& name);
    std::vector<std::string> texts(const std::string& name);
    std::vector<int64_t> wholes(const std::string& name);
    std::vector<double> numbers(const std::string& name, size_t count);
    template <size_t count>
    std::array<double, count> numbers(const std::string& name) {
        const std::vector<double> found = numbers(name, count);
        std::array<double, count> out;
        std::copy(found.begin(), found.end(), out.begin());
        return out;
    }
    std::map<std::string, std::string> text_map(const std::string& name);

    // To be called when all known fields were read: throws when there are others.
    void refuse_others() const;

  private:
    const Json& object_;
    std::string where_;
    std::set<std::string> known_;
};

// Throws Error (manifest-invalid): "WHERE: expected EXPECTED, found VALUE".
[[noreturn]] void refuse(const std::string& where, const std::string& expected, const Json& found);

}  // namespace edge_seg
