/// A strict view of a JSON request body: every member must be asked for, by its type; whatever was
/// not asked for is an error. The first thing that is wrong is remembered; look at it once, with
/// finish().
#pragma once

#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/fwd.hpp>

namespace drover::orchestrator {

class JsonReader {
  public:
    /// An empty text counts as {}. Errors: invalid (bad_json): no JSON, not one object, a name
    /// twice, nested deeper than 8.
    [[nodiscard]] static Result<JsonReader> parse(std::string_view text);

    // Each returns nullopt or empty if the member is missing or null. Wrong type: remembered.
    [[nodiscard]] std::optional<std::string> text(std::string_view key);
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key, std::uint64_t max);
    [[nodiscard]] std::optional<bool> flag(std::string_view key);
    [[nodiscard]] std::optional<WallMicros> time(std::string_view key);
    [[nodiscard]] std::vector<std::string> texts(std::string_view key);
    [[nodiscard]] std::optional<JsonReader> object(std::string_view key);
    [[nodiscard]] std::vector<JsonReader> objects(std::string_view key);
    /// Member names of this object, for maps whose keys are data.
    [[nodiscard]] std::vector<std::string> keys() const;

    /// As text(), but it must be there and not be empty.
    [[nodiscard]] std::string required_text(std::string_view key);

    /// Remembers that `key` is wrong because of `why`.
    void fail(std::string_view key, std::string_view why);

    /// Errors: invalid (unknown_field, bad_field), naming the member.
    [[nodiscard]] Result<> finish();

  private:
    /// Shared by a reader and those of its nested objects: they report into one place and keep the
    /// parsed document alive.
    struct Shared;
    JsonReader(std::shared_ptr<Shared> shared, const boost::json::object* object, std::string path);

    const boost::json::value* find(std::string_view key);

    std::shared_ptr<Shared> shared_;
    const boost::json::object* object_;
    std::string path_;   ///< "" or "limits."
    std::size_t index_;  ///< of this object's record in Shared
};

}  // namespace drover::orchestrator
