/// A JSON document to read, and a JSON object to write. Hides Boost.JSON, which is slow to compile,
/// in one .cc file. Values; a Json keeps the document that it points into alive. Thread-safe to
/// read.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/fwd.hpp>

namespace drover::cli {

class Json {
  public:
    /// null
    Json() = default;

    /// Errors: invalid ("bad_json"): not one JSON document, or nested deeper than 32.
    [[nodiscard]] static Result<Json> parse(std::string_view text);

    [[nodiscard]] bool is_null() const;
    [[nodiscard]] bool is_object() const;
    [[nodiscard]] bool is_array() const;

    /// The member, or null if this is no object or has none of that name.
    [[nodiscard]] Json operator[](std::string_view key) const;
    /// Elements of an array; none if this is no array.
    [[nodiscard]] std::vector<Json> items() const;
    /// Members of an object in document order; none if this is no object.
    [[nodiscard]] std::vector<std::pair<std::string, Json>> members() const;

    /// A string as it is, a number or a boolean in JSON's form, null as "", the rest compactly.
    [[nodiscard]] std::string text() const;
    /// A whole number that is not negative; otherwise 0.
    [[nodiscard]] std::uint64_t number() const;
    /// True only for `true`.
    [[nodiscard]] bool truth() const;

    [[nodiscard]] std::string compact() const;
    /// Two spaces a level, members in document order.
    [[nodiscard]] std::string pretty() const;

  private:
    Json(std::shared_ptr<const boost::json::value> document, const boost::json::value* at)
        : document_(std::move(document)),
          at_(at) {}

    /// Shared because the parts of a document are handed around and outlive the whole.
    std::shared_ptr<const boost::json::value> document_;
    const boost::json::value* at_ = nullptr;
};

/// Writes one object, members in the order of the calls.
class JsonObject {
  public:
    JsonObject& text(std::string_view key, std::string_view value);
    JsonObject& number(std::string_view key, std::uint64_t value);
    JsonObject& boolean(std::string_view key, bool value);
    /// `json` is a document already.
    JsonObject& raw(std::string_view key, std::string_view json);

    [[nodiscard]] std::string str() const { return body_ + "}"; }

  private:
    std::string body_ = "{";
};

/// A JSON string with its quotes.
[[nodiscard]] std::string json_quoted(std::string_view text);

}  // namespace drover::cli
