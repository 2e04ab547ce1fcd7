/// Writes values that have a fields() list as JSON: keys in list order, no white space, so that
/// equal values give equal text. Internal to statemachine.
#pragma once

#include "statemachine/fields.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace drover::statemachine {

class JsonText {
  public:
    [[nodiscard]] const std::string& text() const { return text_; }

    void open() {
        text_ += '{';
        first_ = true;
    }

    void close() {
        text_ += '}';
        first_ = false;
    }

    /// One member of the object that is open.
    template <class T>
    void operator()(std::string_view key, const T& value) {
        separate();
        put(key);
        text_ += ':';
        put(value);
    }

  private:
    void separate() {
        if (!first_) text_ += ',';
        first_ = false;
    }

    void put(std::string_view value);

    void put(const std::string& value) { put(std::string_view(value)); }

    void put(bool value) { text_ += value ? "true" : "false"; }

    void put(const Uuid& value) { put(std::string_view(uuid_text(value))); }

    void put(const Hash& value) { put(std::string_view(value.hex())); }

    void put(const Bytes& value) { put(std::string_view(to_hex(value))); }

    template <class T>
    void put(const T& value) {
        if constexpr (std::is_enum_v<T>) {
            put(name_of(value));
        } else if constexpr (std::is_integral_v<T>) {
            text_ += std::to_string(value);
        } else {
            open();
            fields(*this, value);
            close();
        }
    }

    template <class T>
    void put(const std::optional<T>& value) {
        if (value) {
            put(*value);
        } else {
            text_ += "null";
        }
    }

    template <class T>
    void put(const std::map<HookStep, T>& value) {
        open();
        for (const auto& [step, item] : value) (*this)(name_of(step), item);
        close();
    }

    template <class T>
    void put(const std::vector<T>& value) {
        put_list(value);
    }

    template <class T, std::size_t N>
    void put(const std::array<T, N>& value) {
        put_list(value);
    }

    template <class List>
    void put_list(const List& values) {
        text_ += '[';
        first_ = true;
        for (const auto& value : values) {
            separate();
            put(value);
        }
        text_ += ']';
        first_ = false;
    }

    std::string text_;
    bool first_ = true;
};

}  // namespace drover::statemachine
