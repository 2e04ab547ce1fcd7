/// Damage that the hash chain does not show: appends a fact that is well formed, and that the job's
/// history does not allow, to the log of a droverd that is stopped.
///
///   illegal-fact LOG_DIRECTORY JOB        Committed: legal only while a job holds both sides
///   illegal-fact LOG_DIRECTORY --unknown  a kind that no version knows
#include "base/clock.h"
#include "eventlog/rocksdb_log.h"
#include "history/state.h"
#include "statemachine/codec.h"

#include <cstdio>
#include <string>

namespace drover {
namespace {

constexpr std::uint16_t unknown_kind = 60'000;

Result<> append_fact(const std::filesystem::path& directory, const std::string& job) {
    TRY(const auto log, eventlog::open_rocksdb_log(directory, {.ballast_bytes = 0}));
    TRY(const history::State state, history::replay(*log));
    const statemachine::Event fact = statemachine::Committed{"operator:nobody"};
    eventlog::NewEvent event;
    event.kind = static_cast<std::uint16_t>(kind_of(fact));
    event.actor = "operator:nobody";
    event.payload = statemachine::encode_event(fact);
    eventlog::Append append;
    if (job == "--unknown") {
        append.stream = {eventlog::StreamKind::job, JobId{}};
        event.kind = unknown_kind;
    } else {
        const history::JobEntry* entry = state.find(job);
        if (entry == nullptr) return Error(Errc::not_found, "job_not_found", job);
        append.stream = {eventlog::StreamKind::job, entry->job.id};
    }
    append.expected_stream_seq = log->stream_head(append.stream).seq;
    append.events.push_back(std::move(event));
    const auto appended = log->append({&append, 1}, log->head().epoch, SystemClock().wall_micros());
    if (appended.outcome != eventlog::AppendOutcome::ok) return appended.error;
    std::printf("%llu\n", static_cast<unsigned long long>(appended.records.front().seq));
    return log->sync_head();
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
    if (count != 3) return 2;
    const auto done = drover::append_fact(arguments[1], arguments[2]);
    if (done) return 0;
    std::fprintf(stderr, "illegal-fact: %s\n", done.error().text().c_str());
    return 1;
}
