#include "history/job_past.h"

#include "history/time_text.h"

namespace drover::history {

namespace {

constexpr const char* nothing_changed = "nothing was changed";

Error not_yet(const JobEntry& job, const std::string& point) {
    return Error(Errc::not_found, "job_not_yet",
                 "job " + job.job.spec.name + " had no event yet at " + point + "; it begins at " +
                     rfc3339(job.job.created_micros),
                 nothing_changed, "see `drover job history " + job.job.spec.name + "`");
}

}  // namespace

Result<> read_job(const eventlog::EventLog& log, const JobId& job, eventlog::StreamSeq from,
                  const FactVisitor& visit) {
    std::optional<Error> failure;
    TRY_VOID(log.read_stream({eventlog::StreamKind::job, job}, from,
                             [&](const eventlog::Record& record) {
                                 const auto fact = decode_record_fact(record);
                                 if (fact) return visit(record, *fact);
                                 failure = fact.error();
                                 return false;
                             }));
    if (failure) return *failure;
    return {};
}

Result<JobPast> job_at(const eventlog::EventLog& log, const JobEntry& job, eventlog::Seq seq) {
    const eventlog::Head head = log.head();
    if (seq > head.seq) {
        return Error(
            Errc::not_found, "seq_not_reached",
            "the log ends at seq " + std::to_string(head.seq) + ", before " + std::to_string(seq),
            nothing_changed, "give a smaller number, or none for the present state");
    }
    JobPast past;
    past.seq = seq;
    past.entry.job.id = job.job.id;
    past.entry.job.lineage = job.job.lineage;
    TRY_VOID(read_job(log, job.job.id, 1, [&](const eventlog::Record& record, const Fact& fact) {
        if (record.seq > seq) return false;
        apply(past.entry, record, std::get<statemachine::Event>(fact));
        return true;
    }));
    if (!past.entry.job.exists) return not_yet(job, "seq " + std::to_string(seq));
    TRY_VOID(log.read(seq, [&past](const eventlog::Record& record) {
        past.wall_micros = record.wall_micros;
        return false;
    }));
    return past;
}

Result<eventlog::Seq> seq_at(const eventlog::EventLog& log, const JobEntry& job, WallMicros time,
                             WallMicros now) {
    if (time > now) {
        return Error(Errc::invalid, "time_in_future", rfc3339(time) + " has not come yet",
                     nothing_changed, "give an earlier time, or none for the present state");
    }
    eventlog::Seq last = 0;
    TRY_VOID(read_job(log, job.job.id, 1, [&](const eventlog::Record& record, const Fact&) {
        if (record.wall_micros > time) return false;
        last = record.seq;
        return true;
    }));
    if (last == 0) return not_yet(job, rfc3339(time));
    return last;
}

}  // namespace drover::history
