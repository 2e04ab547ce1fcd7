/// Byte strings, fixed-size identities and their text forms. Pure functions; thread-safe.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// A view of a string's bytes. The string must outlive the view.
[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Lower-case hexadecimal, two digits a byte.
[[nodiscard]] std::string to_hex(ByteView bytes);
/// nullopt for an odd length or a character outside 0-9a-fA-F.
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view text);

/// Standard base64 (RFC 4648 section 4) with padding; decoding is strict.
[[nodiscard]] std::string to_base64(ByteView bytes);
[[nodiscard]] std::optional<Bytes> from_base64(std::string_view text);

/// A fixed-size identity. `Tag` keeps a Hash from being passed where a Uuid is due.
template <std::size_t N, class Tag>
struct FixedBytes {
    std::array<std::uint8_t, N> data{};

    auto operator<=>(const FixedBytes&) const = default;

    [[nodiscard]] ByteView view() const { return data; }

    [[nodiscard]] bool is_zero() const { return *this == FixedBytes{}; }

    /// nullopt unless `bytes` has exactly N bytes.
    [[nodiscard]] static std::optional<FixedBytes> from(ByteView bytes) {
        if (bytes.size() != N) return std::nullopt;
        FixedBytes out;
        for (std::size_t i = 0; i < N; ++i) out.data[i] = bytes[i];
        return out;
    }

    [[nodiscard]] std::string hex() const { return to_hex(data); }

    [[nodiscard]] static std::optional<FixedBytes> from_hex_text(std::string_view text) {
        const auto bytes = from_hex(text);
        if (!bytes) return std::nullopt;
        return from(*bytes);
    }
};

/// SHA-256, or any other 32-byte digest.
using Hash = FixedBytes<32, struct HashTag>;
/// A random 128-bit identity (RFC 9562 version 4 when we make it).
using Uuid = FixedBytes<16, struct UuidTag>;

/// 8-4-4-4-12 text form.
[[nodiscard]] std::string uuid_text(const Uuid& uuid);
[[nodiscard]] std::optional<Uuid> uuid_from_text(std::string_view text);

/// Little-endian appenders and readers for the few hand-made layouts (hash inputs, file slots).
void put_u16(Bytes& out, std::uint16_t value);
void put_u32(Bytes& out, std::uint32_t value);
void put_u64(Bytes& out, std::uint64_t value);
void put_bytes(Bytes& out, ByteView bytes);
[[nodiscard]] std::uint16_t get_u16(ByteView bytes, std::size_t at);
[[nodiscard]] std::uint32_t get_u32(ByteView bytes, std::size_t at);
[[nodiscard]] std::uint64_t get_u64(ByteView bytes, std::size_t at);

/// CRC-32C (Castagnoli), initial and final value inverted, as in RFC 3720 appendix B.4.
[[nodiscard]] std::uint32_t crc32c(ByteView bytes);

/// True for 1..63 characters of [a-z0-9-], starting and ending with a letter or digit: the form of
/// every job, agent and hook name, so that a name is safe in a path, a URL and a certificate.
[[nodiscard]] bool valid_name(std::string_view name);

/// Replaces control characters and cuts to `length_max` bytes: text from a peer is data, not markup.
[[nodiscard]] std::string printable(std::string_view text, std::size_t length_max);

}  // namespace drover
