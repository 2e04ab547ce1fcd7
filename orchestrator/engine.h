/// The one door in: every command goes through here, and nothing is answered or sent before its
/// facts are durable.
///
///   submit(command) ─► queue ─► step: decide each on what the one before left ─► ONE append ─►
///   apply ─► answer
///
/// A step function: no threads, no clock, no I/O but the log's. `step` is called with the wall
/// time, sampled once for the whole batch. After a fatal outcome the process must exit: what is on
/// disk is then unknown, and only a new start finds out.
#pragma once

#include "base/random.h"
#include "orchestrator/answer.h"
#include "orchestrator/facts.h"
#include "statemachine/decide.h"

#include <deque>
#include <functional>
#include <set>
#include <variant>

namespace drover::orchestrator {

/// A job by name (or id text), or by id.
using JobRef = std::variant<std::string, JobId>;

struct JobCommand {
    JobRef job;  ///< for a Plan: the name in its spec
    statemachine::Command command;
    /// If given, the job must be at this version. Errors otherwise: version_mismatch.
    std::optional<std::uint32_t> expected_version;
};

struct RegistryCommand {
    Uuid command_id;
    std::string actor;
    RegistryWish wish;
};

struct Submission {
    std::variant<JobCommand, RegistryCommand> command;
    /// What was asked, so that a retry under the same command id can be told from another request.
    /// Zero: never retried, the answer is not kept (timers, links).
    Hash request_digest;
};

/// Called once, from step(), after the command's facts are durable. Errors (nothing was written):
/// not_found (job_not_found), conflict (idempotency_conflict, version_mismatch), unavailable
/// (log_volume_full, queue_full, job_history_not_legal), invalid (event_too_large), and those of
/// the registry.
using Completion = std::function<void(const Result<Answer>&)>;

/// Called for every durable event, in order, before the commands are answered.
using Subscriber = std::function<void(const eventlog::Record&, const Fact&)>;

struct EngineOptions {
    /// Commands are refused while the log's volume has less than this free.
    std::uint64_t reserve_bytes = 64U << 20;
};

constexpr std::size_t commands_queued_max = 4096;
constexpr std::size_t commands_per_step_max = 256;
/// Refusals written to a job's history; further ones are answered but not written.
constexpr std::uint32_t rejections_logged_max = 10;
constexpr std::int64_t rejections_window_micros = 60'000'000;

class Engine {
  public:
    /// `state` is replay(log); `epoch` was raised for this start.
    Engine(eventlog::EventLog& log, Random& random, State state, eventlog::Epoch epoch,
           const EngineOptions& options);

    /// Queues a command. When the queue is full `completion` gets queue_full at once.
    void submit(Submission submission, Completion completion);

    /// What decide would say now, without changing anything.
    [[nodiscard]] Result<statemachine::Decision> dry_run(const JobCommand& command, WallMicros now);

    /// Commits what is queued (at most commands_per_step_max commands) and answers it. An error is
    /// fatal: nothing was answered, the process must exit.
    [[nodiscard]] Result<> step(WallMicros now);

    /// Appends a fact that droverd states of itself. An error is fatal.
    [[nodiscard]] Result<> state_fact(const SystemFact& fact, WallMicros now);

    void subscribe(Subscriber subscriber) { subscribers_.push_back(std::move(subscriber)); }

    /// Called when the queue stops being empty.
    void on_submit(std::function<void()> wake) { wake_ = std::move(wake); }

    [[nodiscard]] bool has_work() const { return !queue_.empty(); }

    [[nodiscard]] const State& state() const { return state_; }

    [[nodiscard]] const eventlog::EventLog& log() const { return log_; }

    [[nodiscard]] eventlog::Epoch epoch() const { return epoch_; }

    [[nodiscard]] bool volume_full() const;

    struct Counters {
        std::uint64_t commands = 0;
        std::uint64_t rejections = 0;
        std::uint64_t repeats = 0;
        std::uint64_t appends = 0;
        std::uint64_t events = 0;
    };

    [[nodiscard]] const Counters& counters() const { return counters_; }

  private:
    struct Pending {
        Submission submission;
        Completion completion;
    };

    /// A batch in the making: scratch copies of what the commands touch, and their outcomes.
    struct Batch;

    Result<Answer> decide_one(Batch& batch, const Submission& submission);
    Result<std::optional<Answer>> recorded(const Batch& batch, const Uuid& id, const Hash& digest);
    Result<Answer> decide_job(Batch& batch, const JobCommand& wanted, const Hash& digest);
    [[nodiscard]] const Registry& registry_for(Batch& batch, const RegistryWish& wish) const;
    Result<Answer> decide_registry(Batch& batch, const RegistryCommand& wanted, const Hash& digest);
    Result<JobId> resolve(const Batch& batch, const JobCommand& wanted) const;
    Result<JobId> resolve_plan(const Batch& batch, const statemachine::Plan& plan) const;
    [[nodiscard]] Result<> check_deletable(const Batch& batch, const statemachine::Job& job) const;
    std::vector<statemachine::Event> rejection_events(const statemachine::Job& job,
                                                      const statemachine::Command& command,
                                                      const statemachine::Rejected& rejected,
                                                      WallMicros now);
    Result<> commit(Batch& batch);
    Result<> publish(const eventlog::Record& record);

    struct RejectionWindow {
        WallMicros start_micros = 0;
        std::uint32_t count = 0;
    };

    eventlog::EventLog& log_;
    Random& random_;
    State state_;
    eventlog::Epoch epoch_;
    EngineOptions options_;
    std::deque<Pending> queue_;
    std::vector<Subscriber> subscribers_;
    std::function<void()> wake_;
    std::map<JobId, RejectionWindow> rejections_;
    Counters counters_;
};

}  // namespace drover::orchestrator
