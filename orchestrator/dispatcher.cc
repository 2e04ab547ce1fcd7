#include "orchestrator/dispatcher.h"

#include "base/crash_point.h"
#include "base/mutation.h"
#include "schemas/codec.h"
#include "statemachine/outstanding.h"

namespace drover::orchestrator {

namespace {

/// The ids of one job stand together in the order of EffectId: lineage, then job.
EffectId first_id_of(const Uuid& lineage, const JobId& job) {
    EffectId id;
    id.lineage = lineage;
    id.job = job;
    return id;
}

}  // namespace

void Dispatcher::agent_connected(const std::string& agent) {
    connected_[agent] = {};
    if (!DROVER_MUTANT("reconnect_sends_nothing")) new_agents_.insert(agent);
}

void Dispatcher::agent_lost(const std::string& agent) {
    connected_.erase(agent);
    new_agents_.erase(agent);
}

void Dispatcher::touch_all(const State& state) {
    for (const auto& [id, entry] : state.jobs) touched_.insert(id);
}

void Dispatcher::taken(const std::string& agent, const EffectId& effect) {
    const auto sent = connected_.find(agent);
    if (sent == connected_.end()) return;
    const auto found = sent->second.find(effect);
    if (found == sent->second.end()) return;
    DROVER_CRASH_POINT("dispatcher.before_taken");
    found->second.taken = true;
    DROVER_CRASH_POINT("dispatcher.taken");
}

Dispatcher::Told Dispatcher::told(const std::string& agent, const EffectId& effect) const {
    const auto sent = connected_.find(agent);
    if (sent == connected_.end()) return Told::no;
    const auto found = sent->second.find(effect);
    if (found == sent->second.end()) return Told::no;
    return found->second.taken ? Told::taken : Told::sent;
}

Result<Actions> Dispatcher::step(const State& state, const Witness& head, const Moment& now) {
    for (const std::string& agent : std::exchange(new_agents_, {}))
        for (const JobId& job : state.jobs_with(agent)) touched_.insert(job);
    Actions actions;
    for (const JobId& id : touched_) {
        if (const JobEntry* entry = state.find(id)) TRY_VOID(reconcile(*entry, head, actions));
    }
    touched_.clear();
    collect_due(now, actions);
    return actions;
}

Result<> Dispatcher::reconcile(const JobEntry& entry, const Witness& head, Actions& actions) {
    // Nothing is known of what such a job should do, so agents keep what they were told.
    if (entry.illegal) return {};
    const std::vector<Effect> effects = statemachine::outstanding(entry.job);
    std::set<EffectId> wanted;
    for (const Effect& effect : effects) {
        wanted.insert(effect.id);
        if (effect.id.kind != EffectKind::wake_at) TRY_VOID(want(effect, head, actions));
    }
    withdraw_others(entry, wanted, head, actions);
    keep_timer(entry.job.id, effects);
    return {};
}

Result<> Dispatcher::want(const Effect& effect, const Witness& head, Actions& actions) {
    const auto agent = connected_.find(effect.agent);
    if (agent == connected_.end()) return {};
    const auto sent = agent->second.find(effect.id);
    if (sent != agent->second.end() && sent->second.effect == effect) return {};

    Send send{effect.agent, {effect, head.epoch, head, {}}};
    if (auto* work = std::get_if<ReplicateWork>(&send.wanted.effect.work)) {
        TRY(work->ticket.signature, sign_(ticket_message(work->ticket)));
    }
    send.wanted.digest = effect_digest(send.wanted.effect);
    actions.sync_head = actions.sync_head || statemachine::needs_head_sync(effect.id.kind);
    actions.send.push_back(std::move(send));
    agent->second[effect.id] = {effect, false};
    return {};
}

void Dispatcher::withdraw_others(const JobEntry& entry, const std::set<EffectId>& wanted,
                                 const Witness& head, Actions& actions) {
    const JobId& job = entry.job.id;
    const JobSpec& spec = entry.job.spec;
    for (const std::string& agent : std::set{spec.source_agent, spec.target_agent}) {
        const auto connected = connected_.find(agent);
        if (connected == connected_.end()) continue;
        SentEffects& sent = connected->second;
        auto it = sent.lower_bound(first_id_of(entry.job.lineage, job));
        while (it != sent.end() && it->first.job == job) {
            if (wanted.contains(it->first)) {
                ++it;
                continue;
            }
            // A one-shot that is no longer wanted was answered or overtaken: it is only forgotten.
            if (is_standing(it->first.kind)) {
                actions.withdraw.push_back({agent, {it->first, head.epoch}});
            }
            it = sent.erase(it);
        }
    }
}

void Dispatcher::keep_timer(const JobId& job, const std::vector<Effect>& wanted) {
    for (const Effect& effect : wanted) {
        const auto* wake = std::get_if<WakeAtWork>(&effect.work);
        if (!wake) continue;
        const auto known = timers_.find(job);
        if (known != timers_.end() && known->second.effect == effect.id &&
            known->second.at_micros == wake->at_micros) {
            return;
        }
        drop_timer(job);
        timers_[job] = {effect.id, wake->at_micros, 0};
        due_.emplace(wake->at_micros, job);
        return;
    }
    drop_timer(job);
}

void Dispatcher::drop_timer(const JobId& job) {
    const auto known = timers_.find(job);
    if (known == timers_.end()) return;
    due_.erase({known->second.at_micros, job});
    timers_.erase(known);
}

void Dispatcher::collect_due(const Moment& now, Actions& actions) {
    for (const auto& [at_micros, job] : due_) {
        if (at_micros > now.wall_micros) break;
        Timer& timer = timers_.at(job);
        const bool is_waiting =
            timer.submitted_ms != 0 && now.steady_ms - timer.submitted_ms < timer_retry_ms;
        if (is_waiting) continue;
        timer.submitted_ms = now.steady_ms;
        actions.timers_due.push_back(timer.effect);
    }
}

std::optional<WallMicros> Dispatcher::next_timer() const {
    if (due_.empty()) return std::nullopt;
    return due_.begin()->first;
}

}  // namespace drover::orchestrator
