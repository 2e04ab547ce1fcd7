#include "schemas/flat.h"

#include <algorithm>

namespace drover::flat {
namespace {

/// For list elements without content, which count as one word each although they occupy none.
constexpr std::uint64_t traversal_slack_words = 1024;
constexpr int nesting_max = 16;

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

Error bad_message(std::string_view why) {
    return Error(Errc::invalid, "bad_message",
                 "a message does not have the agreed form: " + printable(why, 200),
                 "the message was ignored as a whole",
                 "check that both ends run versions that belong together");
}

std::string Checks::text(capnp::Text::Reader value, std::string_view field, std::size_t size_max) {
    if (value.size() > size_max) {
        fail(field, "more than " + std::to_string(size_max) + " bytes");
        return {};
    }
    if (std::find(value.begin(), value.end(), '\0') != value.end()) fail(field, "contains NUL");
    return {value.begin(), value.size()};
}

std::string Checks::line(capnp::Text::Reader value, std::string_view field) {
    std::string out = text(value, field);
    if (std::any_of(out.begin(), out.end(), is_control)) fail(field, "contains control characters");
    return out;
}

std::string Checks::name(capnp::Text::Reader value, std::string_view field) {
    std::string out = text(value, field, 63);
    if (!valid_name(out)) fail(field, "not a name");
    return out;
}

std::string Checks::optional_name(capnp::Text::Reader value, std::string_view field) {
    return value.size() == 0 ? std::string() : name(value, field);
}

Bytes Checks::bytes(capnp::Data::Reader value, std::string_view field, std::size_t size_max) {
    if (value.size() > size_max) {
        fail(field, "more than " + std::to_string(size_max) + " bytes");
        return {};
    }
    return {value.begin(), value.end()};
}

Result<kj::Array<capnp::word>> aligned_words(ByteView bytes, std::size_t size_max) {
    if (bytes.size() > size_max) return bad_message("larger than the limit");
    if (bytes.size() < 2 * sizeof(capnp::word)) return bad_message("too short");
    if (bytes.size() % sizeof(capnp::word) != 0) return bad_message("not whole words");
    // The table's first number is the count less one.
    if (get_u32(bytes, 0) >= segments_max) return bad_message("too many segments");
    auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
    std::memcpy(words.begin(), bytes.data(), bytes.size());
    return words;
}

capnp::ReaderOptions reader_options(std::size_t words) {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = words + traversal_slack_words;
    options.nestingLimit = nesting_max;
    return options;
}

Bytes framed(kj::ArrayPtr<const capnp::word> words) {
    Bytes out;
    const auto content = words.asBytes();
    out.reserve(sizeof(capnp::word) + content.size());
    put_u32(out, 0);
    put_u32(out, static_cast<std::uint32_t>(words.size()));
    put_bytes(out, ByteView(content.begin(), content.size()));
    return out;
}

std::string free_text(std::string_view value, std::size_t size_max) {
    std::size_t size = std::min(value.size(), size_max);
    // Do not cut through a UTF-8 sequence: back to the start of the last, incomplete one.
    if (size < value.size()) {
        while (size > 0 && (static_cast<unsigned char>(value[size]) & 0xc0) == 0x80) --size;
    }
    std::string out(value.substr(0, size));
    std::replace(out.begin(), out.end(), '\0', ' ');
    return out;
}

}  // namespace drover::flat
