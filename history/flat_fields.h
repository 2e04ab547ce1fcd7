/// Length-prefixed fields one after the other: the hand-made form of small stored values. The
/// reader never reads beyond its input and remembers the first thing that was wrong. Pure.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover::history {

class FieldWriter {
  public:
    FieldWriter& bytes(ByteView value);

    FieldWriter& text(std::string_view value) { return bytes(as_bytes(value)); }

    FieldWriter& number(std::uint64_t value);
    FieldWriter& texts(const std::vector<std::string>& values);

    [[nodiscard]] Bytes take() { return std::move(out_); }

  private:
    Bytes out_;
};

class FieldReader {
  public:
    explicit FieldReader(ByteView in)
        : in_(in) {}

    [[nodiscard]] ByteView bytes();
    [[nodiscard]] std::string text();
    [[nodiscard]] std::uint64_t number();
    [[nodiscard]] std::vector<std::string> texts();

    template <class Fixed>
    [[nodiscard]] Fixed fixed() {
        const auto value = Fixed::from(bytes());
        if (!value) ok_ = false;
        return value.value_or(Fixed{});
    }

    /// Everything was there and nothing is left over.
    [[nodiscard]] bool done() const { return ok_ && at_ == in_.size(); }

  private:
    ByteView in_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace drover::history
