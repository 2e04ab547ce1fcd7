#include "orchestrator/core.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mutation.h"

#include <utility>

namespace drover::orchestrator {

Core::Core(CoreParts parts, State state, eventlog::Epoch epoch, const Moment& now)
    : log_(parts.log),
      random_(parts.random),
      engine_(parts.log, parts.random, std::move(state), epoch, parts.options),
      dispatcher_(std::move(parts.sign)),
      sessions_(engine_, dispatcher_, telemetry_, parts.random, parts.sessions, now.steady_ms,
                std::move(parts.older_copy)) {
    engine_.subscribe([this](const eventlog::Record& record, const Fact&) {
        if (record.stream.kind == eventlog::StreamKind::job) touched_.insert(record.stream.id);
    });
    dispatcher_.touch_all(engine_.state());
}

Result<std::unique_ptr<Core>> Core::start(CoreParts parts, const Moment& now) {
    TRY(auto state, parts.state ? Result<State>(std::move(*parts.state)) : replay(parts.log));
    DROVER_ASSERT(state.seq == parts.log.head().seq);
    for (const auto& [id, entry] : state.jobs) {
        if (!entry.illegal) continue;
        log::error("core", "a job is left alone: " + entry.illegal->text(), "job=" + uuid_text(id));
    }
    DROVER_CRASH_POINT("start.replayed");
    // Before anybody can connect: an older process that still lives is refused from here on.
    TRY(const auto epoch, DROVER_MUTANT("epoch_not_raised")
                              ? Result<eventlog::Epoch>(parts.log.head().epoch)
                              : parts.log.raise_epoch(now.wall_micros));
    DROVER_CRASH_POINT("start.epoch_raised");
    std::unique_ptr<Core> core(new Core(std::move(parts), std::move(state), epoch, now));
    TRY_VOID(core->engine_.state_fact(
        OrchestratorStarted{epoch, software_version, core->random_.uuid()}, now.wall_micros));
    return core;
}

Result<Core::Turn> Core::turn(const Moment& now) {
    TRY_VOID(engine_.step(now.wall_micros));
    for (const JobId& job : std::exchange(touched_, {})) {
        dispatcher_.touch(job);
        sessions_.reconcile_links(job, now);
    }
    TRY_VOID(dispatch(now));
    return Turn{engine_.has_work()};
}

Result<> Core::dispatch(const Moment& now) {
    // What this log wants may be long over: nothing more is asked of anybody.
    if (sessions_.older_copy()) return {};
    const eventlog::Head head = log_.head();
    TRY(auto actions,
        dispatcher_.step(engine_.state(), {head.lineage, head.epoch, head.seq, head.hash}, now));
    if (actions.sync_head) {
        DROVER_CRASH_POINT("dispatcher.before_head_sync");
        TRY_VOID(log_.sync_head());
        DROVER_CRASH_POINT("dispatcher.head_synced");
    }
    if (!actions.send.empty()) DROVER_CRASH_POINT("dispatcher.before_send");
    for (const Send& send : actions.send) sessions_.send(send, now);
    if (!actions.withdraw.empty()) DROVER_CRASH_POINT("dispatcher.before_withdraw");
    for (const Withdraw& withdraw : actions.withdraw) sessions_.withdraw(withdraw, now);
    for (const EffectId& effect : actions.timers_due) submit_timer(effect);
    return {};
}

Result<> Core::tick(const Moment& now) {
    sessions_.tick(now);
    DROVER_CRASH_POINT("tick.before_head_sync");
    // The log syncs its head with appends; this is for the time after the last one.
    TRY_VOID(log_.sync_head());
    DROVER_CRASH_POINT("tick.head_synced");
    return {};
}

void Core::submit_timer(const EffectId& effect) {
    DROVER_CRASH_POINT("timer.before_submit");
    JobCommand command;
    command.job = effect.job;
    command.command.command_id = random_.uuid();
    command.command.actor = "timer";
    command.command.wish = statemachine::TimerElapsed{effect};
    engine_.submit({std::move(command), Hash{}}, [](const Result<Answer>& answer) {
        DROVER_CRASH_POINT("timer.decided");
        // The dispatcher submits it again while it is outstanding.
        if (!answer) log::warn("core", "a timer waits: " + answer.error().text());
    });
}

}  // namespace drover::orchestrator
