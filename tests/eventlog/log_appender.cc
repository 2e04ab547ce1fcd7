/// A writer to be killed: appends for ever and reports on standard output, as 8-byte little-endian
/// numbers, first where the log ended when it was opened, then every acknowledged position.
///
///   log_appender DIRECTORY
#include "base/clock.h"
#include "base/file.h"
#include "eventlog/rocksdb_log.h"

#include <cstdio>

#include <unistd.h>

namespace drover::eventlog {
namespace {

StreamId stream_of(Seq seq) {
    StreamId stream{StreamKind::job, {}};
    stream.id.data[15] = static_cast<std::uint8_t>(seq % 5);
    return stream;
}

Result<> report(Seq seq) {
    Bytes line;
    put_u64(line, seq);
    return write_all(STDOUT_FILENO, line, "standard output");
}

/// 1 to 4 events in one batch; the payload of each says its position.
std::vector<Append> next_batch(const EventLog& log) {
    const Seq head = log.head().seq;
    std::vector<Append> batch;
    for (Seq seq = head + 1; seq <= head + 1 + head % 4; ++seq) {
        Append append;
        append.stream = stream_of(seq);
        append.expected_stream_seq = log.stream_head(append.stream).seq;
        NewEvent event;
        event.actor = "system";
        put_u64(event.payload, seq);
        event.payload.resize(16 + seq % 300);
        append.events.push_back(std::move(event));
        batch.push_back(std::move(append));
    }
    return batch;
}

Result<> run(const std::filesystem::path& directory) {
    const SystemClock clock;
    TRY(const auto log, open_rocksdb_log(directory, OpenOptions{.ballast_bytes = 0}));
    TRY_VOID(report(log->head().seq));
    TRY(const Epoch epoch, log->raise_epoch(clock.wall_micros()));
    for (;;) {
        const auto result = log->append(next_batch(*log), epoch, clock.wall_micros());
        if (result.outcome != AppendOutcome::ok) return result.error;
        TRY_VOID(report(log->head().seq));
    }
}

}  // namespace
}  // namespace drover::eventlog

int main(int count, char** arguments) {
    if (count != 2) return 2;
    const auto ended = drover::eventlog::run(arguments[1]);
    if (!ended) std::fprintf(stderr, "log_appender: %s\n", ended.error().text().c_str());
    return 1;
}
