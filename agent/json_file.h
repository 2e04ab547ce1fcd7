/// Small records as JSON files that survive crashes. One line each, so that a person can read them.
#pragma once

#include "base/file.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::agent {

/// A flat JSON object of strings: everything a marker or an exposure holds. Numbers are strings of
/// decimal digits, bytes are hexadecimal.
class Fields {
  public:
    Fields() = default;

    static constexpr std::size_t bytes_max = 1U << 20;

    /// Errors: corrupt ("record_damaged").
    [[nodiscard]] static Result<Fields> load(const std::filesystem::path& path);
    /// What the file at `path` holds. Errors: likewise.
    [[nodiscard]] static Result<Fields> parse(const std::filesystem::path& path,
                                              std::string_view text);
    [[nodiscard]] Result<> store(const std::filesystem::path& path) const;

    void set(std::string key, std::string value) { values_[std::move(key)] = std::move(value); }

    void set_number(std::string key, std::uint64_t value) {
        set(std::move(key), std::to_string(value));
    }

    [[nodiscard]] bool has(const std::string& key) const { return values_.contains(key); }

    void set_list(const std::string& key, const std::vector<std::string>& values);

    /// Errors: corrupt, when the key is missing or its value has another form.
    [[nodiscard]] Result<std::string> text(const std::string& key) const;
    [[nodiscard]] Result<std::uint64_t> number(const std::string& key) const;
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& key) const;

    template <class Id>
    [[nodiscard]] Result<Id> id(const std::string& key) const {
        TRY(const std::string value, text(key));
        const auto parsed = Id::from_hex_text(value);
        if (!parsed) return damaged(key);
        return *parsed;
    }

  private:
    [[nodiscard]] Error damaged(const std::string& key) const;

    std::filesystem::path origin_;
    std::map<std::string, std::string> values_;
};

}  // namespace drover::agent
