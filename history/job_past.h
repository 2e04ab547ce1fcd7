/// One job at an earlier point of the log: its facts up to there through the fold that runs live.
/// Reads that job's stream only. Blocks for as long as that takes.
#pragma once

#include "history/state.h"

#include <functional>

namespace drover::history {

/// A job as it was when event `seq` was the last of the log.
struct JobPast {
    JobEntry entry;
    eventlog::Seq seq = 0;
    WallMicros wall_micros = 0;  ///< of event `seq`: what the clock said then
};

/// Errors: not_found: seq_not_reached (the log is not that long yet), job_not_yet (the job came
/// later); those of reading.
[[nodiscard]] Result<JobPast> job_at(const eventlog::EventLog& log, const JobEntry& job,
                                     eventlog::Seq seq);

/// The last event of the log that is not later than `time`, as far as `job` is concerned. Errors:
/// not_found: job_not_yet; invalid: time_in_future (after `now`); those of reading.
[[nodiscard]] Result<eventlog::Seq> seq_at(const eventlog::EventLog& log, const JobEntry& job,
                                           WallMicros time, WallMicros now);

/// Return false to stop.
using FactVisitor = std::function<bool(const eventlog::Record&, const Fact&)>;

/// The facts of one job from its `from`-th on. Errors: those of reading and decoding.
[[nodiscard]] Result<> read_job(const eventlog::EventLog& log, const JobId& job,
                                eventlog::StreamSeq from, const FactVisitor& visit);

}  // namespace drover::history
