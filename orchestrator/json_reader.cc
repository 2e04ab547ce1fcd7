#include "orchestrator/json_reader.h"

#include "base/bytes.h"
#include "history/time_text.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

constexpr std::size_t depth_max = 8;
constexpr const char* nothing_changed = "nothing was changed";

Error bad_json(const std::string& why) {
    return Error(Errc::invalid, "bad_json", "the body cannot be used: " + why, nothing_changed,
                 "send one JSON object as the API description says");
}

/// Sees only the names of members: Boost.JSON's own parser lets the last of two equal names win,
/// and then two readers of one request could see two different requests.
class NameCheck {
  public:
    static constexpr std::size_t max_object_size = SIZE_MAX;
    static constexpr std::size_t max_array_size = SIZE_MAX;
    static constexpr std::size_t max_key_size = 4096;
    static constexpr std::size_t max_string_size = SIZE_MAX;

    std::string repeated;

    bool on_document_begin(json::error_code&) { return true; }

    bool on_document_end(json::error_code&) { return true; }

    bool on_object_begin(json::error_code&) {
        names_.emplace_back();
        return true;
    }

    bool on_object_end(std::size_t, json::error_code&) {
        names_.pop_back();
        return true;
    }

    bool on_array_begin(json::error_code&) { return true; }

    bool on_array_end(std::size_t, json::error_code&) { return true; }

    bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
        key_.append(part.data(), part.size());
        return true;
    }

    bool on_key(json::string_view part, std::size_t, json::error_code&) {
        key_.append(part.data(), part.size());
        if (!names_.back().insert(key_).second && repeated.empty()) repeated = key_;
        key_.clear();
        return true;
    }

    bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }

    bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }

    bool on_number_part(json::string_view, json::error_code&) { return true; }

    bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }

    bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }

    bool on_double(double, json::string_view, json::error_code&) { return true; }

    bool on_bool(bool, json::error_code&) { return true; }

    bool on_null(json::error_code&) { return true; }

    bool on_comment_part(json::string_view, json::error_code&) { return true; }

    bool on_comment(json::string_view, json::error_code&) { return true; }

  private:
    std::vector<std::set<std::string>> names_;
    std::string key_;
};

}  // namespace

struct JsonReader::Shared {
    struct Object {
        std::string path;
        const json::object* members;
        std::set<std::string> asked;
    };

    json::value document;
    std::vector<Object> objects;
    std::optional<Error> error;
};

JsonReader::JsonReader(std::shared_ptr<Shared> shared, const json::object* object, std::string path)
    : shared_(std::move(shared)),
      object_(object),
      path_(std::move(path)),
      index_(shared_->objects.size()) {
    shared_->objects.push_back({path_, object_, {}});
}

Result<JsonReader> JsonReader::parse(std::string_view text) {
    if (text.empty()) text = "{}";
    json::parse_options options;
    options.max_depth = depth_max;
    json::error_code error;
    json::basic_parser<NameCheck> names(options);
    const std::size_t read = names.write_some(false, text.data(), text.size(), error);
    if (error) return bad_json(error.message());
    const std::string& repeated = names.handler().repeated;
    if (!repeated.empty())
        return bad_json("\"" + printable(repeated, 64) + "\" stands there twice");
    if (text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
        return bad_json("something follows the object");
    }
    const auto shared = std::make_shared<Shared>();
    shared->document = json::parse({text.data(), text.size()}, error, {}, options);
    if (error) return bad_json(error.message());
    const json::object* object = shared->document.if_object();
    if (!object) return bad_json("it is not an object");
    return JsonReader(shared, object, "");
}

const json::value* JsonReader::find(std::string_view key) {
    shared_->objects[index_].asked.insert(std::string(key));
    const json::value* value = object_->if_contains({key.data(), key.size()});
    return value && !value->is_null() ? value : nullptr;
}

void JsonReader::fail(std::string_view key, std::string_view why) {
    if (shared_->error) return;
    shared_->error =
        Error(Errc::invalid, "bad_field",
              "\"" + printable(path_ + std::string(key), 128) + "\" " + std::string(why),
              nothing_changed, "correct the field and send the request again");
}

std::optional<std::string> JsonReader::text(std::string_view key) {
    const json::value* value = find(key);
    if (!value) return std::nullopt;
    const json::string* found = value->if_string();
    if (!found) {
        fail(key, "must be a string");
        return std::nullopt;
    }
    return std::string(found->data(), found->size());
}

std::string JsonReader::required_text(std::string_view key) {
    auto value = text(key);
    if (!value || value->empty()) fail(key, "must be given");
    return value.value_or("");
}

std::optional<std::uint64_t> JsonReader::number(std::string_view key, std::uint64_t max) {
    const json::value* value = find(key);
    if (!value) return std::nullopt;
    json::error_code error;
    const auto found =
        value->is_double() ? std::uint64_t{0} : value->to_number<std::uint64_t>(error);
    if (error || value->is_double() || found > max) {
        fail(key, "must be a whole number between 0 and " + std::to_string(max));
        return std::nullopt;
    }
    return found;
}

std::optional<bool> JsonReader::flag(std::string_view key) {
    const json::value* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_bool()) {
        fail(key, "must be true or false");
        return std::nullopt;
    }
    return value->get_bool();
}

std::optional<WallMicros> JsonReader::time(std::string_view key) {
    const auto value = text(key);
    if (!value) return std::nullopt;
    const auto micros = history::micros_from_rfc3339(*value);
    if (!micros) fail(key, "must be a time like 2026-11-23T02:10:00Z");
    return micros;
}

std::vector<std::string> JsonReader::texts(std::string_view key) {
    const json::value* value = find(key);
    if (!value) return {};
    std::vector<std::string> out;
    if (const json::array* items = value->if_array()) {
        for (const json::value& item : *items) {
            const json::string* text = item.if_string();
            if (!text) break;
            out.emplace_back(text->data(), text->size());
        }
        if (out.size() == items->size()) return out;
    }
    fail(key, "must be a list of strings");
    return {};
}

std::optional<JsonReader> JsonReader::object(std::string_view key) {
    const json::value* value = find(key);
    if (!value) return std::nullopt;
    const json::object* found = value->if_object();
    if (!found) {
        fail(key, "must be an object");
        return std::nullopt;
    }
    return JsonReader(shared_, found, path_ + std::string(key) + ".");
}

std::vector<JsonReader> JsonReader::objects(std::string_view key) {
    const json::value* value = find(key);
    if (!value) return {};
    std::vector<JsonReader> out;
    if (const json::array* items = value->if_array()) {
        for (const json::value& item : *items) {
            const json::object* found = item.if_object();
            if (!found) break;
            const std::string path =
                path_ + std::string(key) + "." + std::to_string(out.size()) + ".";
            out.push_back(JsonReader(shared_, found, path));
        }
        if (out.size() == items->size()) return out;
    }
    fail(key, "must be a list of objects");
    return {};
}

std::vector<std::string> JsonReader::keys() const {
    std::vector<std::string> out;
    for (const auto& member : *object_) out.emplace_back(member.key().data(), member.key().size());
    return out;
}

Result<> JsonReader::finish() {
    if (shared_->error) return *shared_->error;
    for (const Shared::Object& object : shared_->objects) {
        for (const auto& member : *object.members) {
            const std::string key(member.key().data(), member.key().size());
            if (object.asked.contains(key)) continue;
            return Error(Errc::invalid, "unknown_field",
                         "\"" + printable(object.path + key, 128) + "\" is not known here",
                         nothing_changed, "check the spelling against the API description");
        }
    }
    return {};
}

}  // namespace drover::orchestrator
