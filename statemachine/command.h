/// Wishes. Everything that can change a job arrives as a Command: operators' actions, agents'
/// reports, elapsed timers, links going up and down. One door in.
#pragma once

#include "schemas/model.h"
#include "statemachine/event.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

namespace drover::statemachine {

struct Plan {
    JobSpec spec;
};

struct Preflight {};

struct Start {};

struct Pause {};

struct Resume {};

struct Throttle {
    Limits limits;
};

struct TestStart {};

struct TestRevert {};

struct Arm {
    WallMicros at_micros = 0;                   ///< 0: no timer, a person starts it
    std::optional<Hash> plan_hash;              ///< if given it must be the job's present one
    std::optional<std::uint32_t> outage_max_s;  ///< default: the plan's
    bool pause_before_activate = false;
};

struct Disarm {};

/// From syncing it arms and starts in one step; from armed it starts.
struct Cutover {
    std::optional<Hash> plan_hash;
    std::optional<std::uint32_t> outage_max_s;
    bool pause_before_activate = false;
};

struct Rollback {
    RollbackMode mode = RollbackMode::discard;
    std::string acknowledged_loss;  ///< required once the target may have taken writes
};

struct Resync {
    std::string acknowledged_loss;  ///< required if the target took writes
};

struct Commit {
    std::string confirm;  ///< the job's name
    /// Do without the comparison that the plan asks for; needs a reason.
    bool waive_comparison = false;
};

struct Cancel {};

/// Try the step that parked the job again.
struct Retry {};

struct Park {};

struct Unpark {};

struct ConfirmTargetStopped {
    std::string how;
};

struct WaiveValidation {};

struct AbandonReverse {
    std::string acknowledged_loss;
};

struct DeleteData {
    std::string confirm;  ///< the job's name
};

struct LiftQuarantine {};

/// Who serves, as the person found it: the job ends, and drover opens and closes nothing.
enum class Serving : std::uint8_t { target = 0, source = 1, neither = 2 };

/// Ends a job that a restore left undecided.
struct Resolve {
    Serving serving = Serving::neither;
    std::string confirm;  ///< the job's name
};

// ---- not from people ----

struct ReportReceived {
    Report report;
};

struct TimerElapsed {
    EffectId effect;  ///< of the WakeAt
};

struct LinkChanged {
    Side side = Side::source;
    bool connected = false;
};

/// What one side holds; asked for after a restore.
struct WorldReported {
    JobWorld world;
};

using Wish =
    std::variant<Plan, Preflight, Start, Pause, Resume, Throttle, TestStart, TestRevert, Arm,
                 Disarm, Cutover, Rollback, Resync, Commit, Cancel, Retry, Park, Unpark,
                 ConfirmTargetStopped, WaiveValidation, AbandonReverse, DeleteData, LiftQuarantine,
                 ReportReceived, TimerElapsed, LinkChanged, Resolve, WorldReported>;

struct Command {
    Uuid command_id;     ///< a retry carries the same one
    std::string actor;   ///< "operator:NAME", "agent:NAME", "timer", "system"
    std::string reason;  ///< free text of the person; required where it is dangerous
    Wish wish;
};

/// The action's name in API and CLI, for example "cutover", "test-start".
[[nodiscard]] std::string_view action_of(const Wish& wish);

/// One wish of every kind that a person can have, with empty arguments: for allowed_actions.
[[nodiscard]] const std::vector<Wish>& operator_wishes();

}  // namespace drover::statemachine
