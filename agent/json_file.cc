#include "agent/json_file.h"

#include <algorithm>
#include <charconv>

#include <boost/json.hpp>

namespace drover::agent {

Error Fields::damaged(const std::string& key) const {
    return Error(Errc::corrupt, "record_damaged",
                 origin_.native() + ": \"" + key + "\" is missing or damaged",
                 "nothing was changed", "restore the file from a backup of the state directory");
}

Result<Fields> Fields::load(const std::filesystem::path& path) {
    TRY(const std::string text, read_text(path, bytes_max));
    return parse(path, text);
}

Result<Fields> Fields::parse(const std::filesystem::path& path, std::string_view text) {
    boost::system::error_code failed;
    const boost::json::value parsed = boost::json::parse(text, failed);
    Fields fields;
    fields.origin_ = path;
    const boost::json::object* object = failed ? nullptr : parsed.if_object();
    if (object == nullptr) return fields.damaged("(whole file)");
    for (const auto& [key, value] : *object) {
        const boost::json::string* string = value.if_string();
        if (string == nullptr) return fields.damaged(std::string(key));
        fields.set(std::string(key), std::string(string->data(), string->size()));
    }
    return fields;
}

Result<> Fields::store(const std::filesystem::path& path) const {
    boost::json::object object;
    for (const auto& [key, value] : values_) object[key] = value;
    return write_file_durably(path, as_bytes(boost::json::serialize(object) + "\n"));
}

void Fields::set_list(const std::string& key, const std::vector<std::string>& values) {
    set_number(key + ".count", values.size());
    for (std::size_t i = 0; i < values.size(); ++i) set(key + "." + std::to_string(i), values[i]);
}

Result<std::string> Fields::text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return damaged(key);
    return found->second;
}

Result<std::uint64_t> Fields::number(const std::string& key) const {
    TRY(const std::string value, text(key));
    std::uint64_t out = 0;
    const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (failed != std::errc() || end != value.data() + value.size()) return damaged(key);
    return out;
}

Result<std::vector<std::string>> Fields::list(const std::string& key) const {
    TRY(const std::uint64_t count, number(key + ".count"));
    std::vector<std::string> out;
    for (std::uint64_t i = 0; i < count; ++i) {
        TRY(std::string value, text(key + "." + std::to_string(i)));
        out.push_back(std::move(value));
    }
    return out;
}

}  // namespace drover::agent
