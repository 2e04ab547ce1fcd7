#include "simulations/operator.h"

#include "agent/exposure.h"
#include "base/sha256.h"
#include "statemachine/outstanding.h"

#include <algorithm>

namespace drover::sim {
namespace {

using statemachine::Phase;

constexpr Micros second = 1'000'000;
constexpr Micros answer_time_max = 10 * second;
constexpr std::uint32_t retries_max = 6;
constexpr const char* loss = "I accept that what the target took is lost";

/// A rollback can bring back what the target's users wrote, as far as the job's state says.
bool can_keep(const statemachine::Job& state) {
    const auto says_so = [](const std::optional<PreflightDone>& half) {
        return half && std::ranges::count(half->capabilities, "reverse.sync") > 0;
    };
    return std::ranges::all_of(state.preflight, says_so) && state.activate_derived &&
           !state.fence_breached && !state.fence_broken;
}

bool is_way_back(Phase phase) {
    return phase == Phase::rolling_back || phase == Phase::reverse_draining ||
           phase == Phase::reverse_verifying;
}

}  // namespace

Operator::Operator(World& world, Dice dice)
    : world_(world),
      dice_(dice) {}

Uuid Operator::fresh_id() {
    Uuid id;
    for (std::size_t i = 0; i < id.data.size(); ++i)
        id.data.at(i) = static_cast<std::uint8_t>(dice_.next());
    return id;
}

void Operator::look_after(SimulatedJob& job, Micros delay) {
    if (job.look_pending || job.done) return;
    job.look_pending = true;
    world_.scheduler.after(delay, [this, &job] {
        job.look_pending = false;
        look(job);
    });
}

void Operator::ask(orchestrator::Submission submission, OrchestratorHost::Heard heard) {
    send(std::make_shared<orchestrator::Submission>(std::move(submission)),
         std::make_shared<bool>(false), heard);
}

/// The same request under the same id until somebody answers.
void Operator::send(const std::shared_ptr<orchestrator::Submission>& submission,
                    const std::shared_ptr<bool>& answered, const OrchestratorHost::Heard& heard) {
    world_.server->request(*submission,
                           [answered, heard](const Result<orchestrator::Answer>& answer) {
                               if (!std::exchange(*answered, true)) heard(answer);
                           });
    world_.scheduler.after(answer_time_max, [this, submission, answered, heard] {
        if (!*answered) send(submission, answered, heard);
    });
}

void Operator::wish(SimulatedJob& job, statemachine::Wish wish, const std::string& reason) {
    job.request_pending = true;
    orchestrator::JobCommand command;
    command.job = job.name;
    command.command.command_id = fresh_id();
    command.command.actor = "operator:ann";
    command.command.reason = reason;
    world_.note("operator", "job " + job.name + ": " + std::string(action_of(wish)));
    const auto* commit = std::get_if<statemachine::Commit>(&wish);
    const bool is_wrong = commit != nullptr && commit->confirm != job.name;
    command.command.wish = std::move(wish);
    const Uuid id = command.command.command_id;
    ask({std::move(command), sha256(id.view())},
        [this, &job, id, is_wrong](const Result<orchestrator::Answer>& answer) {
            job.request_pending = false;
            if (world_.hooks.answered) world_.hooks.answered(answer);
            if (is_wrong && answer && !answer->rejected)
                world_.violate("a commit is confirmed by name", "job " + job.name);
            if (answer && answer->event_count > 0) acknowledged_.push_back({id, *answer});
            if (!answer) ++world_.coverage.errors[std::string(answer.error().id())];
            const bool refused = !answer || answer->rejected;
            if (answer && answer->rejected) {
                ++world_.coverage.errors[answer->rejected->id];
                world_.note("operator", "job " + job.name + ": refused, " + answer->rejected->id);
            }
            look_after(job, refused ? dice_.between(5, 30) * second : second);
        });
}

void Operator::look(SimulatedJob& job) {
    if (job.done || job.request_pending) return;
    const Micros now = world_.scheduler.now();
    if (world_.server->core() == nullptr) return look_after(job, 2 * second);
    const statemachine::Job* state = world_.state_of(job);
    if (state == nullptr) {
        if (now < job.script.plan_at) return look_after(job, job.script.plan_at - now);
        return wish(job, statemachine::Plan{job.spec});
    }
    if (world_.hooks.choose)
        if (auto chosen = world_.hooks.choose(*state))
            return wish(job, std::move(*chosen), "as the history says");
    if (is_final(state->phase)) {
        if (state->parked && !job.target_lost) return wish(job, statemachine::Retry{});
        const bool target_is_gone = job.target_lost;
        if (target_is_gone || statemachine::outstanding(*state).empty()) {
            job.done = true;
            return;
        }
        return look_after(job, 30 * second);
    }
    if (make_mischief(job, *state) || help(job, *state)) return;
    act_by_phase(job, *state);
}

void Operator::phase_entered(SimulatedJob& job) {
    if (job.phase != Phase::reverse_draining || !job.script.abandons) return;
    world_.scheduler.after(job.script.abandon_after, [this, &job] {
        if (job.done || job.request_pending) return;
        wish(job, statemachine::AbandonReverse{loss}, "too slow");
    });
}

void Operator::roll_back(SimulatedJob& job, const statemachine::Job& state) {
    const bool keeps = job.script.keeps && !job.target_lost && can_keep(state);
    const auto mode =
        keeps ? statemachine::RollbackMode::keep : statemachine::RollbackMode::discard;
    wish(job, statemachine::Rollback{mode, loss});
}

/// What cannot come back any more, or does not after many attempts. True if something was done.
bool Operator::give_up_way_back(SimulatedJob& job, const statemachine::Job& state) {
    const bool keeps = is_way_back(state.phase) && state.rollback &&
                       state.rollback->mode == statemachine::RollbackMode::keep;
    if (!keeps) return false;
    // Once it is proved only its agent can say that it is not there after all, or not to be kept.
    const bool is_refused = state.parked && (state.parked->error.id() == "reverse_not_done" ||
                                             state.parked->error.id() == "fence_breached");
    const bool may = !state.reverse_verified || is_refused;
    const Micros stuck = world_.scheduler.now() - job.phase_since;
    const bool is_lost = (job.target_lost || state.target_stop_confirmed) && stuck > 240 * second;
    const bool is_hopeless =
        state.parked && (state.fence_breached || state.fence_broken || job.retries >= retries_max ||
                         (state.parked->step == EffectKind::reverse_drain && !state.changes_known));
    if (!may || !(is_lost || is_hopeless)) return false;
    job.retries = 0;
    wish(job, statemachine::AbandonReverse{loss}, "it does not come back");
    return true;
}

/// True if something was done about a job that does not go on by itself.
bool Operator::help(SimulatedJob& job, const statemachine::Job& state) {
    const Micros stuck = world_.scheduler.now() - job.phase_since;
    if (state.quarantined) {
        wish(job, statemachine::LiftQuarantine{}, "looked at it");
        return true;
    }
    if (give_up_way_back(job, state)) return true;
    const bool before_target = statemachine::is_in_cutover(state.phase) && !state.activate_derived;
    if (state.parked) {
        if (before_target && (job.retries >= retries_max || state.fence_breached)) {
            job.retries = 0;
            wish(job, statemachine::Rollback{});
        } else if (statemachine::is_in_cutover(state.phase) && job.retries >= 4 * retries_max) {
            job.retries = 0;
            roll_back(job, state);
        } else if (state.phase == Phase::testing && job.retries >= retries_max) {
            job.retries = 0;
            wish(job, statemachine::TestRevert{});
        } else if (state.parked->step == EffectKind::compare && job.retries >= retries_max) {
            wish(job, statemachine::Commit{job.name, true}, "its map of changes is lost");
        } else {
            ++job.retries;
            give_disks(job, state);
            wish(job, statemachine::Retry{});
        }
        return true;
    }
    if (state.paused) {
        if (state.phase == Phase::activating || dice_.one_in(3)) {
            wish(job, statemachine::Resume{});
            return true;
        }
        look_after(job, 10 * second);
        return true;
    }
    if (state.phase == Phase::rolling_back && job.target_lost && stuck > 120 * second &&
        !state.target_stop_confirmed) {
        wish(job, statemachine::ConfirmTargetStopped{"the machine was scrapped"});
        return true;
    }
    const bool waits_for_target =
        state.phase == Phase::activating || state.phase == Phase::validating;
    if (job.target_lost && waits_for_target && stuck > 120 * second) {
        wish(job, statemachine::Rollback{statemachine::RollbackMode::discard, loss});
        return true;
    }
    if (job.target_lost && (state.phase == Phase::ready || state.phase == Phase::mirroring ||
                            state.phase == Phase::syncing || state.phase == Phase::armed ||
                            state.phase == Phase::testing || state.phase == Phase::planned ||
                            state.phase == Phase::blocked || state.phase == Phase::rolled_back)) {
        wish(job, statemachine::Cancel{});
        return true;
    }
    return false;
}

/// What a preflight or the first copy finds on the target's disks may be lost: root says so on the
/// machine itself.
void Operator::give_disks(SimulatedJob& job, const statemachine::Job& state) {
    const bool found_before =
        std::any_of(state.findings.begin(), state.findings.end(),
                    [](const Finding& finding) { return finding.id == "target_not_blank"; });
    const bool found_late = state.parked && state.parked->error.id() == "target_not_blank";
    if (!found_before && !found_late) return;
    const agent::StatePaths paths{job.target_machine->state_root()};
    const auto host = open_host(*job.target_machine);
    for (const DiskPair& disk : job.spec.disks) {
        const Disk* found = job.target_machine->find(disk.target);
        if (found == nullptr || !found->present) continue;
        // If it cannot be done now, the next preflight says so again.
        (void)agent::expose_disk(agent::ExposureStore(paths.exposures()), *host, disk.target,
                                 found->identity);
    }
}

void Operator::act_by_phase(SimulatedJob& job, const statemachine::Job& state) {
    const Micros now = world_.scheduler.now();
    switch (state.phase) {
        case Phase::blocked:
            if (++job.retries % 2 != 0) return look_after(job, 30 * second);
            give_disks(job, state);
            return wish(job, statemachine::Preflight{});
        case Phase::ready:
            return wish(job, statemachine::Start{});
        case Phase::syncing:
            return look_after_copy(job, state);
        case Phase::testing:
            return look_after_test(job, state);
        case Phase::armed:
            if (now - job.phase_since < 120 * second) return look_after(job, 30 * second);
            return wish(job, statemachine::Cutover{});
        case Phase::holding:
            return decide_hold(job, state);
        case Phase::validating:
            if (now - job.phase_since > 300 * second)
                return wish(job, statemachine::WaiveValidation{}, "it works, I tried");
            return look_after(job, 60 * second);
        case Phase::rolled_back:
            if (job.script.cancels) return wish(job, statemachine::Cancel{});
            return wish(job, statemachine::Resync{loss});
        case Phase::planned:
        case Phase::mirroring:
        case Phase::fencing:
        case Phase::draining:
        case Phase::verifying:
        case Phase::activating:
        case Phase::rolling_back:
        case Phase::reverse_draining:
        case Phase::reverse_verifying:
        case Phase::committed:
        case Phase::cancelled:
            // It goes on by itself; this look is only in case it does not.
            return look_after(job, 60 * second);
    }
}

/// Tests first, then the cutover, each in its time.
void Operator::look_after_copy(SimulatedJob& job, const statemachine::Job& state) {
    const Micros now = world_.scheduler.now();
    Script& script = job.script;
    const Micros next =
        script.tests > 0 ? std::min(script.test_at, script.cutover_at) : script.cutover_at;
    if (now < next) return look_after(job, next - now);
    if (state.data_state != DataState::in_sync) return look_after(job, 20 * second);
    if (script.tests > 0 && now >= script.test_at) {
        --script.tests;
        return wish(job, statemachine::TestStart{});
    }
    if (script.arms) {
        statemachine::Arm arm;
        arm.at_micros = world_.server->clock.wall_micros() + 30 * second;
        arm.pause_before_activate = script.pauses;
        return wish(job, arm);
    }
    wish(job, statemachine::Cutover{std::nullopt, std::nullopt, script.pauses});
}

/// Whoever began it. Some are never reverted: the job is cancelled under them.
void Operator::look_after_test(SimulatedJob& job, const statemachine::Job& state) {
    if (!state.test || state.test_reverting) return look_after(job, 60 * second);
    const Micros stood = world_.scheduler.now() - job.phase_since;
    if (stood < job.script.test_lasts) return look_after(job, job.script.test_lasts - stood);
    if (job.script.test_cancels) return wish(job, statemachine::Cancel{});
    wish(job, statemachine::TestRevert{});
}

void Operator::decide_hold(SimulatedJob& job, const statemachine::Job& state) {
    const Micros held = world_.scheduler.now() - job.phase_since;
    if (held < job.script.decide_after) return look_after(job, job.script.decide_after - held);
    const bool rolls_back = job.rollbacks_done < job.script.rollbacks || state.fence_breached ||
                            state.fence_broken || job.target_lost || state.copy_differs;
    if (rolls_back) {
        ++job.rollbacks_done;
        return roll_back(job, state);
    }
    if (std::exchange(job.script.mistypes, false)) return wish(job, statemachine::Commit{"jbo"});
    wish(job, statemachine::Commit{job.name});
}

bool Operator::make_mischief(SimulatedJob& job, const statemachine::Job& state) {
    if (world_.options.mischief == 0 || world_.scheduler.now() > world_.calm_at) return false;
    if (!dice_.one_in(world_.options.mischief)) return false;
    switch (dice_.below(13)) {
        case 0:
            wish(job, statemachine::Pause{}, "lunch");
            break;
        case 1:
            wish(job, statemachine::Park{}, "not now");
            break;
        case 2:
            wish(job, statemachine::Rollback{statemachine::RollbackMode::discard,
                                             dice_.one_in(2) ? loss : std::string()});
            break;
        case 3:
            wish(job, statemachine::Throttle{Limits{static_cast<std::uint64_t>(
                          dice_.one_in(2) ? 0 : dice_.between(1, 10) * 1'000'000)}});
            break;
        case 4:
            wish(job, statemachine::Disarm{});
            break;
        case 5:
            wish(job, statemachine::Commit{dice_.one_in(2) ? job.name : "another"});
            break;
        case 6:
            wish(job, statemachine::Cutover{});
            break;
        case 7:
            wish(job, statemachine::Preflight{});
            break;
        case 8:
            if (!dice_.one_in(6)) return false;
            wish(job, statemachine::Cancel{});
            break;
        case 9:
            wish(job, statemachine::Resync{});
            break;
        case 10:
            wish(job, statemachine::TestStart{});
            break;
        case 11:
            wish(job, statemachine::DeleteData{job.name});
            break;
        default:
            wish(job, statemachine::Rollback{statemachine::RollbackMode::keep, loss});
            break;
    }
    (void)state;
    return true;
}

}  // namespace drover::sim
