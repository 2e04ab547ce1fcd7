#include "history/difference.h"

#include "base/assert.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

using Leaf = std::pair<std::string, std::string>;

void collect(const std::string& path, const json::value& value, std::vector<Leaf>& out) {
    if (value.is_null()) return;
    if (value.is_object() && !value.get_object().empty()) {
        for (const auto& member : value.get_object()) {
            const std::string key(member.key().data(), member.key().size());
            collect(path.empty() ? key : path + "." + key, member.value(), out);
        }
    } else if (value.is_array() && !value.get_array().empty()) {
        std::size_t index = 0;
        for (const json::value& element : value.get_array()) {
            collect(path + "[" + std::to_string(index++) + "]", element, out);
        }
    } else {
        out.emplace_back(path, json::serialize(value));
    }
}

const std::string* find(const std::vector<Leaf>& leaves, const std::string& path) {
    const auto found = std::find_if(leaves.begin(), leaves.end(),
                                    [&path](const Leaf& leaf) { return leaf.first == path; });
    return found == leaves.end() ? nullptr : &found->second;
}

}  // namespace

std::vector<FieldChange> changes(const json::value& from, const json::value& to) {
    std::vector<Leaf> before;
    std::vector<Leaf> after;
    collect("", from, before);
    collect("", to, after);
    std::vector<FieldChange> out;
    for (const auto& [path, value] : before) {
        const std::string* now = find(after, path);
        if (now == nullptr) {
            out.push_back({path, value, std::nullopt});
        } else if (*now != value) {
            out.push_back({path, value, *now});
        }
    }
    for (const auto& [path, value] : after) {
        if (find(before, path) == nullptr) out.push_back({path, std::nullopt, value});
    }
    return out;
}

json::array changes_json(const std::vector<FieldChange>& changes) {
    const auto value_of = [](const std::optional<std::string>& text) {
        if (!text) return json::value(nullptr);
        json::error_code error;
        json::value value = json::parse(*text, error);
        DROVER_ASSERT(!error);  // we wrote it
        return value;
    };
    json::array out;
    for (const FieldChange& change : changes) {
        out.push_back(
            {{"field", change.path}, {"from", value_of(change.from)}, {"to", value_of(change.to)}});
    }
    return out;
}

}  // namespace drover::history
