#include "statemachine/json_text.h"

#include "statemachine/codec.h"
#include "statemachine/evolve.h"

namespace drover::statemachine {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

/// Length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629), or 0.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xc2 ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80U) return 0;
    }
    // Longer forms than needed, surrogates, and numbers above U+10FFFF.
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
        (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
        return 0;
    }
    return length;
}

void put_escaped(std::string& out, std::string_view sequence) {
    const auto byte = static_cast<unsigned char>(sequence[0]);
    if (byte == '"' || byte == '\\') {
        out += '\\';
        out += sequence;
    } else if (byte < 0x20 || byte == 0x7f) {
        out += "\\u00";
        out += hex_digits[byte >> 4U];
        out += hex_digits[byte & 0xfU];
    } else {
        out += sequence;
    }
}

}  // namespace

void JsonText::put(std::string_view value) {
    text_ += '"';
    while (!value.empty()) {
        const std::size_t length = utf8_length(value);
        if (length == 0) {
            text_ += "\\ufffd";  // a peer's text is data, and need not be text
            value.remove_prefix(1);
        } else {
            put_escaped(text_, value.substr(0, length));
            value.remove_prefix(length);
        }
    }
    text_ += '"';
}

std::string event_json(const Event& event) {
    JsonText out;
    out.open();
    out("event", name_of(kind_of(event)));
    std::visit([&out](const auto& fact) { fields(out, fact); }, event);
    out.close();
    return out.text();
}

std::string job_text(const Job& job) {
    JsonText out;
    out.open();
    fields(out, job);
    out.close();
    return out.text();
}

}  // namespace drover::statemachine
