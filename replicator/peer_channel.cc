#include "replicator/peer_channel.h"

#include "replicator/peer_codec.h"

namespace drover::replicator {
namespace {

constexpr std::int64_t reason_wait_ms = 1'000;

}  // namespace

Result<> PeerChannel::send(const SourceMessage& message) {
    return link_.send(encode(message));
}

Result<TargetMessage> PeerChannel::receive() {
    for (;;) {
        TRY(const Bytes bytes, link_.receive(ack_timeout_ms_));
        TRY(TargetMessage message, decode_target_message(bytes));
        if (std::holds_alternative<Working>(message)) {
            if (working_) TRY_VOID(working_(nullptr));
            continue;
        }
        if (const auto* waiting = std::get_if<Waiting>(&message)) {
            if (working_) TRY_VOID(working_(&waiting->reason));
            continue;
        }
        if (const auto* refused = std::get_if<PeerRefused>(&message)) return refused->error;
        return message;
    }
}

Error PeerChannel::unexpected() {
    return Error(Errc::invalid, "bad_message", "the target gave another answer than was asked for",
                 "everything that was acknowledged",
                 "check that both agents run matching versions");
}

Error PeerChannel::reason_behind(const Error& error) {
    for (;;) {
        const auto bytes = link_.receive(reason_wait_ms);
        if (!bytes) return error;
        const auto message = decode_target_message(*bytes);
        if (!message) return error;
        if (const auto* refused = std::get_if<PeerRefused>(&*message)) return refused->error;
    }
}

bool is_passing(const Error& error) {
    return error.code() == Errc::unavailable || error.code() == Errc::timed_out ||
           error.code() == Errc::cancelled || error.code() == Errc::corrupt;
}

}  // namespace drover::replicator
