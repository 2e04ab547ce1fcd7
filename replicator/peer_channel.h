/// The source's control link: questions out, answers in, with the time-out that means "the target
/// is gone". Used by the replica's thread only.
#pragma once

#include "replicator/peer_message.h"
#include "wire/link.h"

#include <functional>

namespace drover::replicator {

class PeerChannel {
  public:
    /// Called when the target says that it works on a long answer (null), or what the answer waits
    /// for; an error ends the wait.
    using Between = std::function<Result<>(const Error* waits_for)>;

    PeerChannel(wire::Link& link, std::int64_t ack_timeout_ms, Between working = {})
        : link_(link),
          ack_timeout_ms_(ack_timeout_ms),
          working_(std::move(working)) {}

    [[nodiscard]] Result<> send(const SourceMessage& message);

    /// The next message that is an answer; Working and Waiting only restart the time-out. A refusal
    /// is returned as its error. Errors: those of the link, invalid.
    [[nodiscard]] Result<TargetMessage> receive();

    /// receive(), and the answer must be an `Answer`.
    template <class Answer>
    [[nodiscard]] Result<Answer> expect() {
        TRY(TargetMessage message, receive());
        if (auto* answer = std::get_if<Answer>(&message)) return std::move(*answer);
        return unexpected();
    }

    /// After the bulk link failed with `error`: the reason the target gave on the control link, if
    /// one is there or arrives shortly, else `error`.
    [[nodiscard]] Error reason_behind(const Error& error);

  private:
    [[nodiscard]] static Error unexpected();

    wire::Link& link_;
    std::int64_t ack_timeout_ms_;
    Between working_;
};

/// The connection failed or the data was damaged on its way, not the work: worth another
/// connection.
[[nodiscard]] bool is_passing(const Error& error);

}  // namespace drover::replicator
