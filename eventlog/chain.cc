#include "eventlog/chain.h"

#include "base/assert.h"
#include "eventlog/record.h"

namespace drover::eventlog {
namespace {

Error broken(std::string id, Seq seq, const std::string& detail) {
    return Error(Errc::corrupt, std::move(id), "event " + std::to_string(seq) + ": " + detail);
}

std::string_view stream_kind_name(StreamKind kind) {
    switch (kind) {
        case StreamKind::system:
            return "system";
        case StreamKind::job:
            return "job";
        case StreamKind::wave:
            return "wave";
        case StreamKind::agent:
            return "agent";
    }
    DROVER_UNREACHABLE();
}

}  // namespace

std::string stream_text(const StreamId& stream) {
    return std::string(stream_kind_name(stream.kind)) + " " + uuid_text(stream.id);
}

Result<Record> ChainCheck::next(ByteView stored) {
    const Seq due = seq_ + 1;
    auto decoded = decode_record(stored);
    if (!decoded) return broken("event_damaged", due, decoded.error().detail());
    const Record& record = *decoded;
    if (record.seq != due)
        return broken("event_missing", due,
                      "event " + std::to_string(record.seq) + " is in its place");
    if (stored_hash(stored) != record.hash)
        return broken("event_damaged", due, "its bytes do not give the hash stored with it");
    if (record.prev_hash != hash_)
        return broken("chain_broken", due, "it does not follow the event before it");
    if (record.epoch < epoch_) return broken("chain_broken", due, "its epoch goes back");
    if (record.wall_micros < wall_micros_) return broken("chain_broken", due, "its time goes back");
    resume_after(record);
    return decoded;
}

void ChainCheck::resume_after(const Record& record) {
    seq_ = record.seq;
    hash_ = record.hash;
    epoch_ = record.epoch;
    wall_micros_ = record.wall_micros;
}

Result<> check_stream_link(const Record& record, const StreamHead& before) {
    const auto broken_stream = [&record](const std::string& detail) {
        return broken("stream_chain_broken", record.seq,
                      "in stream " + stream_text(record.stream) + " " + detail);
    };
    if (record.stream_seq != before.seq + 1)
        return broken_stream("it has position " + std::to_string(record.stream_seq) + " after " +
                             std::to_string(before.seq));
    if (record.prev_stream_hash != before.hash)
        return broken_stream("it does not follow the event before it");
    return {};
}

}  // namespace drover::eventlog
