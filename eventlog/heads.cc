#include "eventlog/heads.h"

#include "eventlog/chain.h"

#include <algorithm>
#include <limits>
#include <set>

namespace drover::eventlog {
namespace {

constexpr const char* nothing_written = "nothing was written";

Error limit_broken(std::string detail) {
    return Error(Errc::invalid, "append_invalid", std::move(detail), nothing_written,
                 "correct the batch; this is a mistake of the caller");
}

/// The limits of log.h. They are checked here and not asserted: sizes come from commands.
Result<> check_limits(std::span<const Append> batch) {
    std::size_t events = 0;
    for (const Append& append : batch) {
        if (append.events.empty()) return limit_broken("an append without an event");
        events += append.events.size();
        for (const NewEvent& event : append.events) {
            if (event.payload.size() > payload_bytes_max)
                return limit_broken("a payload of " + std::to_string(event.payload.size()) +
                                    " bytes; the limit is " + std::to_string(payload_bytes_max));
            if (event.actor.size() > actor_bytes_max)
                return limit_broken("an actor of " + std::to_string(event.actor.size()) +
                                    " bytes; the limit is " + std::to_string(actor_bytes_max));
        }
        if (!append.answer) continue;
        if (append.answer->command_id.is_zero()) return limit_broken("an answer without a command");
        if (append.answer->answer.size() > payload_bytes_max)
            return limit_broken("an answer of " + std::to_string(append.answer->answer.size()) +
                                " bytes; the limit is " + std::to_string(payload_bytes_max));
    }
    if (events == 0 || events > events_per_append_max)
        return limit_broken("a batch of " + std::to_string(events) + " events; 1 to " +
                            std::to_string(events_per_append_max) + " are possible");
    return {};
}

}  // namespace

AppendResult append_failed(AppendOutcome outcome, Error error) {
    AppendResult result;
    result.outcome = outcome;
    result.error = std::move(error);
    return result;
}

AppendResult already_answered(const Uuid& command_id) {
    return append_failed(AppendOutcome::conflict,
                         Error(Errc::conflict, "command_answered",
                               "command " + uuid_text(command_id) + " has its answer already",
                               nothing_written, "give the stored answer to whoever asks again"));
}

StreamHead Heads::stream(const StreamId& id) const {
    const auto found = streams_.find(id);
    return found == streams_.end() ? StreamHead{} : found->second;
}

Record Heads::make_record(const StreamId& stream, const StreamHead& before, const Head& head,
                          const NewEvent& event, WallMicros now_micros) const {
    Record record;
    record.seq = head.seq + 1;
    record.stream = stream;
    record.stream_seq = before.seq + 1;
    record.kind = event.kind;
    record.kind_version = event.kind_version;
    record.wall_micros = head.seq == 0 ? now_micros : std::max(now_micros, head.wall_micros);
    record.clock_stepped = record.wall_micros != now_micros;
    record.epoch = head.epoch;
    record.command_id = event.command_id;
    record.actor = event.actor;
    record.cause = event.cause;
    record.prev_hash = head.hash;
    record.prev_stream_hash = before.hash;
    record.payload = event.payload;
    record.hash = record_hash(record);
    return record;
}

AppendResult Heads::plan(std::span<const Append> batch, Epoch epoch, WallMicros now_micros) const {
    if (epoch != head_.epoch)
        return append_failed(
            AppendOutcome::fenced,
            Error(Errc::denied, "append_fenced",
                  "the log is in epoch " + std::to_string(head_.epoch) + ", the writer in epoch " +
                      std::to_string(epoch),
                  nothing_written, "stop this process: another one has taken over"));
    if (auto limits = check_limits(batch); !limits)
        return append_failed(AppendOutcome::invalid, limits.error());

    AppendResult result;
    Head head = head_;
    std::map<StreamId, StreamHead> moved;
    std::set<Uuid> answered;
    for (const Append& append : batch) {
        StreamHead& at = moved.try_emplace(append.stream, stream(append.stream)).first->second;
        if (at.seq != append.expected_stream_seq)
            return append_failed(
                AppendOutcome::conflict,
                Error(Errc::conflict, "append_conflict",
                      "stream " + stream_text(append.stream) + " is at " + std::to_string(at.seq) +
                          ", not at " + std::to_string(append.expected_stream_seq),
                      nothing_written, "read the stream and decide again"));
        if (append.events.size() > std::numeric_limits<StreamSeq>::max() - at.seq)
            return append_failed(AppendOutcome::invalid,
                                 limit_broken("stream " + stream_text(append.stream) + " is full"));
        if (append.answer && !answered.insert(append.answer->command_id).second)
            return already_answered(append.answer->command_id);
        for (const NewEvent& event : append.events) {
            result.records.push_back(make_record(append.stream, at, head, event, now_micros));
            const Record& record = result.records.back();
            at = StreamHead{record.stream_seq, record.hash};
            head.seq = record.seq;
            head.hash = record.hash;
            head.wall_micros = record.wall_micros;
        }
    }
    return result;
}

void Heads::set_end(const Record& last) {
    head_.seq = last.seq;
    head_.hash = last.hash;
    head_.wall_micros = last.wall_micros;
}

void Heads::advance(const Record& record) {
    set_end(record);
    streams_[record.stream] = StreamHead{record.stream_seq, record.hash};
}

}  // namespace drover::eventlog
