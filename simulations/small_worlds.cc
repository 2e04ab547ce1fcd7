#include "simulations/small_worlds.h"

#include "base/sha256.h"

#include <algorithm>
#include <functional>
#include <sstream>

namespace drover::sim {
namespace {

using statemachine::Phase;

constexpr Micros second = 1'000'000;
constexpr const char* disk_gone = "source_disk_gone";
constexpr std::string_view with_journals = "journals:";
constexpr Micros cut_time = 30 * second;
constexpr Micros repair_time = 90 * second;  ///< of a cut, a reboot, a restart
constexpr const char* loss = "I accept that what the target took is lost";

/// `journals`: of rings that any tiny disk fits into.
Options tiny_options(bool journals) {
    Options options = draw_options(1, 1, FaultProfile::none, 0);
    options.wave_time = 40 * second;
    options.churn_every = 20 * second;
    options.blocks = 4;
    options.disks = 1;
    options.sync_time_max = 0;
    options.io_time_max = 0;
    options.shuffle = false;
    options.idle_pause_ms = 5'000;
    options.race_one_in = 0;
    options.outage_s_min = 600;
    options.journal_blocks = journals ? 16 : 0;
    options.reverse_blocks = journals ? 32 : 0;
    options.weather = {};
    return options;
}

Script tiny_script() {
    Script script;
    script.plan_at = 6 * second;
    script.cutover_at = 10 * second;
    script.decide_after = 5 * second;
    return script;
}

/// The machines of a tiny world, by what they are.
std::string machine_of(const World& world, const std::string& party) {
    if (party == "orchestrator") return world.server->machine;
    const SimulatedJob& job = world.jobs.front();
    return party == "source" ? job.source_machine->name : job.target_machine->name;
}

// ---- what goes wrong ----

using Strike = std::function<void(World&)>;

Strike cut(const std::string& from, const std::string& to) {
    return [from, to](World& world) {
        const std::string a = machine_of(world, from);
        const std::string b = machine_of(world, to);
        world.network.cut(a, b);
        world.scheduler.after(cut_time, [&world, a, b] { world.network.heal(a, b); });
    };
}

/// From everybody, both ways.
void cut_off(World& world, const std::string& party) {
    for (const char* other : {"orchestrator", "source", "target"}) {
        if (party == other) continue;
        cut(party, other)(world);
        cut(other, party)(world);
    }
}

Strike drawn(FaultKind kind) {
    return [kind](World& world) {
        Fault fault;
        fault.kind = kind;
        fault.lasts = cut_time;
        inject(world, fault);
    };
}

/// What can happen to the parties at an event boundary.
const std::vector<std::pair<std::string, Strike>>& strikes() {
    static const auto all = [] {
        std::vector<std::pair<std::string, Strike>> out = {
            {"orchestrator_dies", drawn(FaultKind::kill_orchestrator)},
            {"source_dies", drawn(FaultKind::kill_source_agent)},
            {"target_dies", drawn(FaultKind::kill_target_agent)},
            {"source_reboots", drawn(FaultKind::reboot_source)},
            {"target_reboots", drawn(FaultKind::reboot_target)}};
        const std::pair<const char*, const char*> pairs[] = {
            {"orchestrator", "source"}, {"orchestrator", "target"}, {"source", "target"}};
        for (const auto& pair : pairs) {
            const std::string one = pair.first;
            const std::string two = pair.second;
            const Strike there = cut(one, two);
            const Strike back = cut(two, one);
            out.emplace_back(one + "_to_" + two + "_cut", there);
            out.emplace_back(two + "_to_" + one + "_cut", back);
            out.emplace_back(one + "_and_" + two + "_cut", [there, back](World& world) {
                there(world);
                back(world);
            });
        }
        return out;
    }();
    return all;
}

// ---- what the operator does ----

/// With arguments that do not stand in the way, so that only the state decides.
std::optional<statemachine::Wish> wish_named(const std::string& name, const std::string& job) {
    if (name == "rollback-keep")
        return statemachine::Rollback{statemachine::RollbackMode::keep, loss};
    for (statemachine::Wish wish : statemachine::operator_wishes()) {
        if (action_of(wish) != name) continue;
        if (auto* commit = std::get_if<statemachine::Commit>(&wish)) commit->confirm = job;
        if (auto* deletion = std::get_if<statemachine::DeleteData>(&wish)) deletion->confirm = job;
        if (auto* back = std::get_if<statemachine::Rollback>(&wish)) back->acknowledged_loss = loss;
        if (auto* again = std::get_if<statemachine::Resync>(&wish)) again->acknowledged_loss = loss;
        if (auto* abandon = std::get_if<statemachine::AbandonReverse>(&wish))
            abandon->acknowledged_loss = loss;
        if (auto* throttle = std::get_if<statemachine::Throttle>(&wish))
            throttle->limits.rate_bytes_per_s = 1'000'000;
        return wish;
    }
    return std::nullopt;
}

/// The operator wishes this at once, whatever goes on.
Strike wish_at_once(const std::string& action) {
    return [action](World& world) {
        const SimulatedJob& job = world.jobs.front();
        const Hash id = sha256(as_bytes(action));
        orchestrator::JobCommand command;
        command.job = job.name;
        command.command = {*Uuid::from(ByteView(id.data).first(16)), "operator:bob", "now",
                           *wish_named(action, job.name)};
        world.server->request({std::move(command), id},
                              [&world](const Result<orchestrator::Answer>& answer) {
                                  if (!answer)
                                      ++world.coverage.errors[std::string(answer.error().id())];
                                  if (answer && answer->rejected)
                                      ++world.coverage.errors[answer->rejected->id];
                              });
    };
}

std::optional<Strike> find_strike(const std::string& name) {
    for (const auto& each : strikes())
        if (each.first == name) return each.second;
    if (name == disk_gone) return drawn(FaultKind::disk_vanishes);
    constexpr std::string_view prefix = "operator_";
    const std::string action = name.starts_with(prefix) ? name.substr(prefix.size()) : "";
    if (!wish_named(action, {})) return std::nullopt;
    return wish_at_once(action);
}

/// The job goes no further unless a person acts.
bool is_quiescent(const statemachine::Job& job) {
    if (job.parked || job.paused) return true;
    switch (job.phase) {
        case Phase::blocked:
        case Phase::ready:
        case Phase::armed:
        case Phase::holding:
        case Phase::rolled_back:
        case Phase::cancelled:
        case Phase::committed:
            return true;
        case Phase::syncing:
            return job.data_state == DataState::in_sync;
        case Phase::testing:
            return job.test.has_value() && !job.test_reverting;
        default:
            return false;
    }
}

// ---- one run ----

class SmallRun {
  public:
    SmallRun(const SmallCase& small, bool tracing)
        : small_(small),
          world_(tiny_options(small.journals), tracing) {
        world_.calm_at = 0;
        SimulatedJob& job = world_.jobs.front();
        job.script = tiny_script();
        job.script.takes_back = small.journals;
        if (small.journals) job.target_machine->overlay_kinds = {"reflink"};
        world_.hooks.on_fact = [this](std::uint64_t count, const orchestrator::Fact& fact) {
            on_fact(count, fact);
        };
        world_.hooks.choose = [this](const statemachine::Job& state) { return choose(state); };
        world_.hooks.answered = [this](const Result<orchestrator::Answer>& answer) {
            if (!std::exchange(waits_, false)) return;
            if (answer && !answer->rejected && answer->event_count > 0) ++out_.accepted;
        };
        const auto dies_at_step = [](const Disturbance& each) {
            return each.name.ends_with("_at_step");
        };
        const auto& all = small_.disturbances;
        if (small.journals || std::any_of(all.begin(), all.end(), dies_at_step))
            world_.hooks.on_step = [this](std::string_view name) { on_step(name); };
        for (const Disturbance& each : small_.disturbances)
            if (each.name == "lost") world_.network.lose_session_message = each.number;
    }

    [[nodiscard]] SmallOutcome run() {
        out_.outcome = world_.run();
        out_.messages = world_.network.session_messages;
        if (!out_.outcome.coverage.crash_points.empty()) out_.struck = true;
        return std::move(out_);
    }

  private:
    [[nodiscard]] std::optional<statemachine::Wish> choose(const statemachine::Job& state) {
        if (out_.ordered == small_.history.size() || !is_quiescent(state)) return std::nullopt;
        // What parked because of a disturbance is the script's to repair.
        if (state.parked && state.parked->error.id() != "parked_by_operator") return std::nullopt;
        waits_ = true;
        return wish_named(small_.history.at(out_.ordered++), state.spec.name);
    }

    /// What goes wrong now is over, and repaired, before the end is looked at.
    void wait_for_repair() { world_.calm_at = world_.scheduler.now() + repair_time; }

    void on_fact(std::uint64_t count, const orchestrator::Fact& fact) {
        const auto* event = std::get_if<statemachine::Event>(&fact);
        if (event != nullptr) watch_cutover(count, *event);
        if (event != nullptr) watch_journals(*event);
        bool kills_server = false;
        for (const Disturbance& each : small_.disturbances) {
            if (each.number != count) continue;
            const auto strike = find_strike(each.name);
            if (!strike) continue;
            out_.struck = true;
            wait_for_repair();
            world_.note("world", each.name);
            if (each.name == "orchestrator_dies")
                kills_server = true;
            else
                world_.scheduler.after(0, [this, strike = *strike] { strike(world_); });
        }
        // Last: this is a call from within that process, which does not come back.
        if (kills_server) (*find_strike("orchestrator_dies"))(world_);
    }

    void watch_cutover(std::uint64_t count, const statemachine::Event& event) {
        if (std::holds_alternative<statemachine::CutoverStarted>(event) && out_.cutover_at == 0) {
            out_.cutover_at = count;
        }
        if (out_.cutover_at != 0 && out_.over_at == 0 &&
            (std::holds_alternative<statemachine::Committed>(event) ||
             std::holds_alternative<statemachine::SourceReleased>(event)))
            out_.over_at = count;
    }

    /// Between these lies what needs journals.
    void watch_journals(const statemachine::Event& event) {
        const bool begins = std::holds_alternative<statemachine::TestStarted>(event) ||
                            std::holds_alternative<statemachine::RollbackStarted>(event);
        const bool ends = std::holds_alternative<statemachine::TestReverted>(event) ||
                          std::holds_alternative<statemachine::SourceReleased>(event);
        if (begins && out_.steps_from.empty()) out_.steps_from = steps_;
        if (ends && out_.steps_to.empty()) out_.steps_to = steps_;
    }

    /// What goes wrong at a step, if it is its turn: the process that takes it is killed, its
    /// machine is cut off or loses its power, or the operator abandons what comes back.
    void on_step(std::string_view name) {
        const std::optional<std::string> party = party_of(world_.scheduler.running_process());
        if (!party) return;
        const std::uint64_t step = ++steps_[*party];
        for (const Disturbance& each : small_.disturbances) {
            if (each.number != step) continue;
            if (each.name == *party + "_cut_at_step") {
                out_.struck = true;
                wait_for_repair();
                world_.note("world", *party + " cut off at " + std::string(name));
                cut_off(world_, *party);
            } else if (each.name == *party + "_at_step") {
                wait_for_repair();
                ++world_.coverage.crash_points[std::string(name)];
                world_.note("world", "killed at " + std::string(name));
                return kill(*party);
            } else if (each.name == *party + "_dark_at_step") {
                wait_for_repair();
                ++world_.coverage.crash_points[std::string(name)];
                world_.note("world", "power lost at " + std::string(name));
                return drawn(*party == "source" ? FaultKind::power_loss_source
                                                : FaultKind::power_loss_target)(world_);
            } else if (each.name == *party + "_abandons_at_step") {
                out_.struck = true;
                wait_for_repair();
                world_.note("world", "abandoned at " + std::string(name));
                world_.scheduler.after(0, [this] { wish_at_once("abandon-reverse")(world_); });
            }
        }
    }

    [[nodiscard]] std::optional<std::string> party_of(ProcessId process) {
        const SimulatedJob& job = world_.jobs.front();
        if (process == world_.server->process()) return "orchestrator";
        if (process == job.source->process()) return "source";
        if (process == job.target->process()) return "target";
        return std::nullopt;
    }

    void kill(const std::string& party) {
        if (party == "orchestrator") return world_.server->kill(2 * second);
        SimulatedJob& job = world_.jobs.front();
        return (party == "source" ? *job.source : *job.target).kill(2 * second);
    }

    const SmallCase& small_;
    World world_;
    SmallOutcome out_;
    bool waits_ = false;                          ///< for the answer to a command of the history
    std::map<std::string, std::uint64_t> steps_;  ///< so far, by party
};

}  // namespace

std::string SmallCase::text() const {
    std::string out;
    for (const std::string& action : history) out += (out.empty() ? "" : ",") + action;
    if (journals) out = std::string(with_journals) + out;
    for (const Disturbance& each : disturbances)
        out += ";" + each.name + "@" + std::to_string(each.number);
    return out;
}

std::optional<SmallCase> SmallCase::from(const std::string& text) {
    SmallCase small;
    small.journals = text.starts_with(with_journals);
    std::istringstream parts(small.journals ? text.substr(with_journals.size()) : text);
    std::string part;
    std::getline(parts, part, ';');
    std::istringstream names(part);
    for (std::string name; std::getline(names, name, ',');) {
        if (!wish_named(name, {})) return std::nullopt;
        small.history.push_back(name);
    }
    while (std::getline(parts, part, ';')) {
        const std::size_t at = part.find('@');
        if (at == std::string::npos) return std::nullopt;
        Disturbance each{part.substr(0, at), std::stoull(part.substr(at + 1))};
        const bool is_known = each.name == "lost" || each.name.ends_with("_at_step") ||
                              find_strike(each.name).has_value();
        if (!is_known) return std::nullopt;
        small.disturbances.push_back(std::move(each));
    }
    return small;
}

/// A job is planned once, and that its target stands still is
/// confirmed only by whoever switched it off: a lie is not a command that a history may hold.
std::vector<std::string> action_names() {
    std::vector<std::string> out;
    for (const statemachine::Wish& wish : statemachine::operator_wishes())
        if (!std::holds_alternative<statemachine::Plan>(wish) &&
            !std::holds_alternative<statemachine::ConfirmTargetStopped>(wish))
            out.emplace_back(action_of(wish));
    return out;
}

std::vector<std::string> strike_names() {
    std::vector<std::string> out;
    for (const auto& [name, strike] : strikes()) out.push_back(name);
    return out;
}

SmallOutcome run_small(const SmallCase& small, bool tracing) {
    return SmallRun(small, tracing).run();
}

}  // namespace drover::sim
