/// Result<T>: a value or an Error. The return type of everything that can fail because of the world
/// (disk, network, peer, bad input). A domain "no" is a Rejection value; a bug is DROVER_ASSERT.
///
/// Value types; no thread-safety of their own.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include <boost/system/result.hpp>

namespace drover {

/// Named by what the caller can do about it, not by where it came from.
enum class Errc : std::uint8_t {
    none,
    invalid,      ///< the input is wrong: correct it and call again
    not_found,    ///< the named thing does not exist
    conflict,     ///< somebody else changed the thing first: reload and decide again
    denied,       ///< identity, token, ticket or epoch is not accepted
    unavailable,  ///< passing: peer away, disk full, busy; the same call may succeed later
    corrupt,      ///< bytes are not what was written; never retried
    io,           ///< the device or file system failed; the outcome may be unknown
    unsupported,  ///< this host or this version cannot do it
    timed_out,    ///< a deadline passed
    cancelled     ///< the owner asked this work to stop
};

/// What a person sees when something fails. `id` is stable and documented (docs/errors.md), for
/// example "target_not_blank"; `detail` says what happened here; `kept` says what is safe, and
/// `next` what to do. Default-constructible and not an aggregate: Boost 1.81's result::error()
/// needs the first, and an aggregate would be constructible from any value in C++20, which disables
/// `return value;`.
class Error {
  public:
    Error() = default;

    explicit Error(Errc code, std::string id, std::string detail, std::string kept = {},
                   std::string next = {})
        : code_(code),
          id_(std::move(id)),
          detail_(std::move(detail)),
          kept_(std::move(kept)),
          next_(std::move(next)) {}

    [[nodiscard]] Errc code() const { return code_; }

    [[nodiscard]] const std::string& id() const { return id_; }

    [[nodiscard]] const std::string& detail() const { return detail_; }

    [[nodiscard]] const std::string& kept() const { return kept_; }

    [[nodiscard]] const std::string& next() const { return next_; }

    /// One line: `id: detail (kept: ...; next: ...)`.
    [[nodiscard]] std::string text() const {
        std::string line = id_ + ": " + detail_;
        if (!kept_.empty()) line += " (kept: " + kept_ + ")";
        if (!next_.empty()) line += " (next: " + next_ + ")";
        return line;
    }

    bool operator==(const Error&) const = default;

    /// For test output; a template, so that this header needs no <ostream>.
    template <class Stream>
    friend Stream& operator<<(Stream& out, const Error& error) {
        out << error.text();
        return out;
    }

  private:
    Errc code_ = Errc::none;
    std::string id_;
    std::string detail_;
    std::string kept_;
    std::string next_;
};

/// Found by Boost when .value() is called on an error: a bug in the caller.
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
    std::fputs(("drover: value() on an error: " + error.text() + "\n").c_str(), stderr);
    std::abort();
}

template <class T = void>
class [[nodiscard]] Result : public boost::system::result<T, Error> {
  public:
    using boost::system::result<T, Error>::result;
};

}  // namespace drover

/// TRY(auto x, f()): binds x to the value of f(), or returns its error from this function.
/// TRY_VOID(g()) does the same for Result<>.
#define DROVER_TRY_JOIN_(a, b) a##b
#define DROVER_TRY_NAME_(a, b) DROVER_TRY_JOIN_(a, b)
#define DROVER_TRY_BIND_(tmp, decl, ...) \
    auto&& tmp = (__VA_ARGS__);          \
    if (!tmp) [[unlikely]]               \
        return std::move(tmp).error();   \
    decl = std::move(tmp).value()
#define DROVER_TRY_CHECK_(tmp, ...)                    \
    if (auto&& tmp = (__VA_ARGS__); !tmp) [[unlikely]] \
    return std::move(tmp).error()
#define TRY(decl, ...) DROVER_TRY_BIND_(DROVER_TRY_NAME_(try_, __COUNTER__), decl, __VA_ARGS__)
#define TRY_VOID(...) DROVER_TRY_CHECK_(DROVER_TRY_NAME_(try_, __COUNTER__), __VA_ARGS__)
