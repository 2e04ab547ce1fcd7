/// Cap'n Proto bytes as we store and send them, for the codecs of every schema. Include in .cc
/// files only (heavy).
///
/// A message is the standard stream framing (segment table, then words), unpacked. What we write is
/// canonical and has one segment. What we read may have up to 64 segments, and is refused with
/// Errc::invalid "bad_message" instead of crashing or allocating more than its own size allows.
/// This is the only place that catches Cap'n Proto's exceptions. Pure; thread-safe.
#pragma once

#include "base/assert.h"
#include "schemas/codec.h"

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

namespace drover::flat {

constexpr std::size_t string_bytes_max = 4096;
constexpr std::size_t certificate_bytes_max = 16384;
constexpr std::size_t signature_bytes_max = 64;  // Ed25519
constexpr std::size_t findings_max = 256;
/// Cut on writing only: all findings of a report must fit into one message.
constexpr std::size_t finding_text_bytes_max = 640;
constexpr std::size_t capabilities_max = 64;
constexpr std::size_t roles_max = 8;
constexpr std::size_t segments_max = 64;
/// For what lies in our own log and journals: anything that was accepted from the wire can be
/// stored.
constexpr std::size_t stored_bytes_max = 2 * message_bytes_max;

/// Collects the first thing that is wrong with a message while its fields are read. After a fault
/// the returned values are placeholders; from_bytes() throws them away.
class Checks {
  public:
    void fail(std::string_view field, std::string_view why) {
        if (fault_.empty()) fault_ = std::string(field) + ": " + std::string(why);
    }

    [[nodiscard]] const std::string& fault() const { return fault_; }

    /// Free text: any bytes but NUL. Show it only through printable().
    [[nodiscard]] std::string text(capnp::Text::Reader value, std::string_view field,
                                   std::size_t size_max = string_bytes_max);
    /// A path or an address: no control characters.
    [[nodiscard]] std::string line(capnp::Text::Reader value, std::string_view field);
    /// A job, agent or hook name.
    [[nodiscard]] std::string name(capnp::Text::Reader value, std::string_view field);
    [[nodiscard]] std::string optional_name(capnp::Text::Reader value, std::string_view field);
    [[nodiscard]] Bytes bytes(capnp::Data::Reader value, std::string_view field,
                              std::size_t size_max);

    /// A Uuid, Hash or other FixedBytes of exactly its length.
    template <class Fixed>
    [[nodiscard]] Fixed fixed(capnp::Data::Reader value, std::string_view field) {
        const auto out = Fixed::from(ByteView(value.begin(), value.size()));
        if (!out) fail(field, "wrong length");
        return out.value_or(Fixed{});
    }

    /// `last` is the highest enumerator we know.
    template <class Enum, class Wire>
    [[nodiscard]] Enum number(Wire value, Enum last, std::string_view field) {
        const auto raw = static_cast<std::uint16_t>(value);
        if (raw > static_cast<std::uint16_t>(last)) {
            fail(field, "unknown number " + std::to_string(raw));
            return Enum{};
        }
        return static_cast<Enum>(raw);
    }

    /// Checks the length before anything is allocated, then converts each element with `convert`.
    template <class List, class Convert>
    [[nodiscard]] auto list(List values, std::size_t count_max, std::string_view field,
                            Convert convert) {
        std::vector<std::decay_t<decltype(convert(values[0]))>> out;
        if (values.size() > count_max) {
            fail(field, "more than " + std::to_string(count_max) + " elements");
            return out;
        }
        out.reserve(values.size());
        for (const auto value : values) {
            if (!fault_.empty()) break;
            out.push_back(convert(value));
        }
        return out;
    }

  private:
    std::string fault_;
};

[[nodiscard]] Error bad_message(std::string_view why);

/// Checks size, alignment and segment count, and copies to aligned words.
[[nodiscard]] Result<kj::Array<capnp::word>> aligned_words(ByteView bytes, std::size_t size_max);

/// Lets a reader visit each word of the message once: pointers that share their target, the way to
/// make a small message large, are refused. (So a converter must read each pointer field only
/// once.)
[[nodiscard]] capnp::ReaderOptions reader_options(std::size_t words);

/// A single canonical segment behind its table.
[[nodiscard]] Bytes framed(kj::ArrayPtr<const capnp::word> words);

/// A message in the making: on the stack, until it is large.
class Message {
  public:
    Message()
        : builder_(kj::arrayPtr(words_.data(), words_.size())) {}

    template <class Root>
    [[nodiscard]] typename Root::Builder init_root() {
        return builder_.initRoot<Root>();
    }

  private:
    std::array<capnp::word, 256> words_{};  ///< zeroes, as the builder wants them
    capnp::MallocMessageBuilder builder_;
};

template <class Builder>
[[nodiscard]] Bytes to_bytes(Builder root) {
    return framed(capnp::canonicalize(root.asReader()));
}

/// `read(Root::Reader, Checks&)` converts; its value is returned if nothing was wrong.
template <class Root, class Read>
auto from_bytes(ByteView bytes, Read read, std::size_t size_max = message_bytes_max)
    -> Result<std::invoke_result_t<Read, typename Root::Reader, Checks&>> {
    TRY(const auto words, aligned_words(bytes, size_max));
    try {
        capnp::FlatArrayMessageReader message(words, reader_options(words.size()));
        if (message.getEnd() != words.end()) return bad_message("bytes after the message");
        Checks checks;
        auto value = read(message.getRoot<Root>(), checks);
        if (!checks.fault().empty()) return bad_message(checks.fault());
        return value;
    } catch (const kj::Exception& exception) {
        return bad_message(exception.getDescription().cStr());
    }
}

/// For setters of text fields. `value` must outlive the reader.
[[nodiscard]] inline capnp::Text::Reader text(const std::string& value) {
    return {value.data(), value.size()};
}

/// Free text cut to what a decoder accepts: a long detail must not make a report undeliverable.
[[nodiscard]] std::string free_text(std::string_view value,
                                    std::size_t size_max = string_bytes_max);

/// A line that a host told us, such as a serial number, in the form that Checks::line accepts.
[[nodiscard]] inline std::string host_line(std::string_view value) {
    return printable(value, string_bytes_max);
}

[[nodiscard]] inline capnp::Data::Reader blob(ByteView value) {
    return {value.data(), value.size()};
}

/// Our enums carry the numbers of the schema's.
template <class Wire, class Enum>
[[nodiscard]] Wire wire_enum(Enum value) {
    return static_cast<Wire>(static_cast<std::uint16_t>(value));
}

/// The size for an init...() of a list. A list longer than decoders accept is a bug of whoever made
/// it: better found here than by every reader from now on.
template <class Values>
[[nodiscard]] unsigned count(const Values& values, std::size_t count_max) {
    DROVER_ASSERT(values.size() <= count_max);
    return static_cast<unsigned>(values.size());
}

}  // namespace drover::flat
