#include "tests/eventlog/promise.h"

#include <algorithm>
#include <cstring>

namespace drover::eventlog::testing {
namespace {

constexpr std::size_t batch_events_max = 4;
constexpr std::size_t small_payload_bytes = 600;
constexpr std::size_t large_payload_bytes = 40U << 10;
constexpr std::size_t payload_header_bytes = 16;

StreamId stream_of(std::uint64_t number) {
    StreamId stream{StreamKind::job, {}};
    stream.id.data[15] = static_cast<std::uint8_t>(number % 3);
    return stream;
}

/// The command that a batch answers.
Uuid command_of(Seq batch_first) {
    Uuid id;
    for (std::size_t i = 0; i < 8; ++i)
        id.data[i] = static_cast<std::uint8_t>(batch_first >> (8 * i));
    id.data[15] = 1;
    return id;
}

Append drawn(const EventLog& log, Random& random) {
    const Seq first = log.head().seq + 1;
    const Seq count = 1 + random.below(batch_events_max);
    const std::size_t size_max = random.below(8) == 0 ? large_payload_bytes : small_payload_bytes;
    Append append;
    append.stream = stream_of(first);
    append.expected_stream_seq = log.stream_head(append.stream).seq;
    append.answer = CommandAnswer{command_of(first), {}, {1, 2, 3}};
    for (Seq seq = first; seq < first + count; ++seq) {
        NewEvent event;
        event.actor = "system";
        put_u64(event.payload, first);
        put_u64(event.payload, count);
        event.payload.resize(payload_header_bytes + random.below(size_max));
        random.fill(std::span(event.payload).subspan(payload_header_bytes));
        append.events.push_back(std::move(event));
    }
    return append;
}

}  // namespace

AppendResult append_drawn(EventLog& log, Random& random, WallMicros now, Promise& promise) {
    const Append append = drawn(log, random);
    AppendResult result = log.append(std::span(&append, 1), log.head().epoch, now);
    if (result.outcome != AppendOutcome::ok) return result;
    promise.batch_first = result.records.front().seq;
    promise.hash = result.records.back().hash;
    promise.acknowledged = result.records.back().seq;
    return result;
}

Result<> raise_epoch(EventLog& log, WallMicros now, Promise& promise) {
    TRY(promise.epoch, log.raise_epoch(now));
    return {};
}

Result<> sync_head(EventLog& log, Promise& promise) {
    TRY_VOID(log.sync_head());
    promise.head_synced = log.head().seq;
    return {};
}

std::string broken_promise(const EventLog& log, const Promise& promise) {
    const Head head = log.head();
    const auto at = [](Seq seq) { return "event " + std::to_string(seq); };
    if (head.seq < promise.acknowledged)
        return at(promise.acknowledged) + " was acknowledged, the log ends at " + at(head.seq);
    if (head.epoch < promise.epoch)
        return "epoch " + std::to_string(promise.epoch) + " went back to " +
               std::to_string(head.epoch);
    if (promise.acknowledged > 0) {
        const auto hash = log.hash_at(promise.acknowledged);
        if (!hash) return hash.error().text();
        if (*hash != promise.hash) return at(promise.acknowledged) + " is another one";
        const auto answer = log.find_answer(command_of(promise.batch_first));
        if (!answer) return answer.error().text();
        if (!*answer) return "the answer given with " + at(promise.batch_first) + " is lost";
    }
    Seq whole_until = 0;
    std::string wrong;
    const auto read = log.read(1, [&](const Record& record) {
        const Seq first = get_u64(record.payload, 0);
        const Seq last = first + get_u64(record.payload, 8) - 1;
        if (record.seq < first || record.seq > last)
            wrong = at(record.seq) + " is of another batch";
        whole_until = last;
        return wrong.empty();
    });
    if (!read) return read.error().text();
    if (wrong.empty() && whole_until != head.seq)
        return "the batch up to " + at(whole_until) + " is there only up to " + at(head.seq);
    return wrong;
}

void write_note(Note& note, const std::string& text) {
    note.fill(0);
    std::memcpy(note.data(), text.data(), std::min(text.size(), note.size() - 1));
}

}  // namespace drover::eventlog::testing
