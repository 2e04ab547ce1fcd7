#include "cli/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace drover::cli {
namespace {

namespace bj = boost::json;

constexpr std::size_t depth_max = 32;

void append_pretty(std::string& out, const bj::value& value, std::size_t indent);

void append_line(std::string& out, std::size_t indent) {
    out += '\n';
    out.append(indent, ' ');
}

void append_pretty(std::string& out, const bj::object& object, std::size_t indent) {
    out += '{';
    bool first = true;
    for (const auto& member : object) {
        if (!first) out += ',';
        first = false;
        append_line(out, indent + 2);
        out += json_quoted({member.key().data(), member.key().size()}) + ": ";
        append_pretty(out, member.value(), indent + 2);
    }
    append_line(out, indent);
    out += '}';
}

void append_pretty(std::string& out, const bj::array& array, std::size_t indent) {
    out += '[';
    bool first = true;
    for (const auto& element : array) {
        if (!first) out += ',';
        first = false;
        append_line(out, indent + 2);
        append_pretty(out, element, indent + 2);
    }
    append_line(out, indent);
    out += ']';
}

// NOLINTNEXTLINE(misc-no-recursion): the parser bounds the depth.
void append_pretty(std::string& out, const bj::value& value, std::size_t indent) {
    if (value.is_object() && !value.get_object().empty()) {
        append_pretty(out, value.get_object(), indent);
    } else if (value.is_array() && !value.get_array().empty()) {
        append_pretty(out, value.get_array(), indent);
    } else {
        out += bj::serialize(value);
    }
}

}  // namespace

Result<Json> Json::parse(std::string_view text) {
    bj::parse_options options;
    options.max_depth = depth_max;
    boost::system::error_code failed;
    bj::value value = bj::parse({text.data(), text.size()}, failed, {}, options);
    if (failed) {
        return Error{Errc::invalid, "bad_json", "the answer is not JSON: " + failed.message()};
    }
    auto document = std::make_shared<const bj::value>(std::move(value));
    const bj::value* root = document.get();
    return Json(std::move(document), root);
}

bool Json::is_null() const {
    return at_ == nullptr || at_->is_null();
}

bool Json::is_object() const {
    return at_ != nullptr && at_->is_object();
}

bool Json::is_array() const {
    return at_ != nullptr && at_->is_array();
}

Json Json::operator[](std::string_view key) const {
    if (!is_object()) return {};
    const bj::value* member = at_->get_object().if_contains({key.data(), key.size()});
    return member == nullptr ? Json{} : Json(document_, member);
}

std::vector<Json> Json::items() const {
    std::vector<Json> out;
    if (!is_array()) return out;
    for (const auto& element : at_->get_array()) out.push_back(Json(document_, &element));
    return out;
}

std::vector<std::pair<std::string, Json>> Json::members() const {
    std::vector<std::pair<std::string, Json>> out;
    if (!is_object()) return out;
    for (const auto& member : at_->get_object()) {
        out.emplace_back(std::string(member.key().data(), member.key().size()),
                         Json(document_, &member.value()));
    }
    return out;
}

std::string Json::text() const {
    if (is_null()) return {};
    if (at_->is_string()) return {at_->get_string().data(), at_->get_string().size()};
    return compact();
}

std::uint64_t Json::number() const {
    if (is_null()) return 0;
    if (at_->is_uint64()) return at_->get_uint64();
    if (at_->is_int64() && at_->get_int64() >= 0)
        return static_cast<std::uint64_t>(at_->get_int64());
    return 0;
}

bool Json::truth() const {
    return at_ != nullptr && at_->is_bool() && at_->get_bool();
}

std::string Json::compact() const {
    return at_ == nullptr ? "null" : bj::serialize(*at_);
}

std::string Json::pretty() const {
    if (at_ == nullptr) return "null";
    std::string out;
    append_pretty(out, *at_, 0);
    return out;
}

JsonObject& JsonObject::text(std::string_view key, std::string_view value) {
    return raw(key, json_quoted(value));
}

JsonObject& JsonObject::number(std::string_view key, std::uint64_t value) {
    return raw(key, std::to_string(value));
}

JsonObject& JsonObject::boolean(std::string_view key, bool value) {
    return raw(key, value ? "true" : "false");
}

JsonObject& JsonObject::raw(std::string_view key, std::string_view json) {
    if (body_.size() > 1) body_ += ',';
    body_ += json_quoted(key) + ":" + std::string(json);
    return *this;
}

std::string json_quoted(std::string_view text) {
    return bj::serialize(bj::string_view(text.data(), text.size()));
}

}  // namespace drover::cli
