/// The REST client: adds the token, retries what is safe to retry, and turns problem documents into
/// failures. Every mutating request carries one Idempotency-Key for all of its attempts, so a retry
/// after a lost answer gets the recorded answer and never acts twice.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/transport.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace drover::cli {

/// Why a command did not do what it was asked to.
struct Failure {
    ExitCode exit = ExitCode::failure;
    std::string id;
    std::string detail;
    std::string kept;
    std::string next;
    std::string problem;  ///< the problem document, one line of JSON
};

[[nodiscard]] Failure failure_of(const Error& error);
/// Of an answer with status >= 400, whatever its body is.
[[nodiscard]] Failure failure_of(const HttpResponse& response);

/// An answer's document, or the failure.
struct Reply {
    Json body;
    std::optional<Failure> failure;
};

/// Waiting is an effect too: tests pass one that only moves their clock.
class Waiter {
  public:
    virtual ~Waiter() = default;
    virtual void wait_ms(std::uint32_t ms) = 0;
};

struct Mutation {
    std::string target;
    std::string body;
    std::string request_id;  ///< empty: a fresh UUID
    std::string if_version;  ///< empty: no If-Match
};

class Client {
  public:
    struct Parts {
        Transport& transport;
        const Clock& clock;
        Random& random;
        Waiter& waiter;
    };

    struct Policy {
        std::string token;
        std::uint64_t retry_for_s = 10;  ///< how long lost connections are retried
        /// Told once per run of lost connections, for a line on stderr.
        std::function<void(const Error&)> on_retry;
    };

    Client(Parts parts, Policy policy)
        : parts_(parts),
          policy_(std::move(policy)) {}

    [[nodiscard]] Reply get(std::string_view target);
    [[nodiscard]] Reply post(const Mutation& mutation);

    /// A body of any size, piece by piece; never retried, because a part of it is out already.
    [[nodiscard]] std::optional<Failure> download(
        std::string_view target, const std::function<bool(std::string_view)>& on_piece);

    /// Server-sent events from `target`, after `last_id` if that is not empty. Reconnects where it
    /// left off for as long as the retry policy allows since the last sign of life. Ends with
    /// nullopt when `on_event` returns false.
    [[nodiscard]] std::optional<Failure> follow(std::string_view target, std::string last_id,
                                                const std::function<bool(const Json&)>& on_event);

    [[nodiscard]] const Parts& parts() const { return parts_; }

  private:
    [[nodiscard]] Reply exchange(const HttpRequest& request);
    [[nodiscard]] HttpRequest request(std::string_view method, std::string_view target) const;
    /// Waits before the next attempt; false when the time for retries is over.
    [[nodiscard]] bool may_retry(const Error& error, SteadyMillis since, std::uint32_t attempt);

    Parts parts_;
    Policy policy_;
};

}  // namespace drover::cli
