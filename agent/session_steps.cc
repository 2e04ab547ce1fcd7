#include "agent/session_steps.h"

#include "agent/anchor_store.h"
#include "base/log.h"

#include <algorithm>

namespace drover::agent {

std::int64_t Backoff::next_ms(std::int64_t connected_ms, Random& random) {
    // A connection that lasted was a good one; one that was refused at once was not.
    if (connected_ms > ms_max) delay_ms_ = ms_min;
    const std::int64_t base_ms = delay_ms_;
    delay_ms_ = std::min(delay_ms_ * 2, ms_max);
    const auto spread = static_cast<std::uint64_t>(base_ms / 2 + 1);
    return base_ms - static_cast<std::int64_t>(random.below(spread));
}

SessionSteps::SessionSteps(Hello hello, std::vector<Report> pending, StatePaths paths, Clock& clock,
                           Outlets outlets, std::string recovery_public_pem)
    : session_(std::move(hello), std::move(pending), std::move(recovery_public_pem)),
      paths_(std::move(paths)),
      clock_(clock),
      outlets_(std::move(outlets)) {}

void SessionSteps::complain(const Error& error) {
    if (error.text() == last_trouble_) return;
    last_trouble_ = error.text();
    log::warn("session", last_trouble_);
}

/// Before anything that follows from it: an agent that forgets whom it obeyed could obey a stale
/// copy.
bool SessionSteps::persist(const std::optional<Witness>& witness) {
    if (!witness) return true;
    auto stored = store_witness(paths_, *witness);
    if (!stored) outlets_.fail(stored.error());
    return stored.has_value();
}

/// In the order that AgentStep demands.
void SessionSteps::apply(const wire::AgentStep& step) {
    if (!persist(step.persist)) return;
    for (const AgentMessage& message : step.send) outlets_.send(message);
    if (step.welcomed) {
        last_trouble_.clear();
        log::info("session", "connected", "epoch=" + std::to_string(session_.witness().epoch));
        if (step.wants_world) say_world();
    }
    for (const AnchorMade& made : step.anchors) keep(made);
    for (const EffectWanted& wanted : step.effects) obey(wanted);
    for (const EffectWithdrawn& withdrawn : step.withdrawn) executor_->withdrawn(withdrawn);
    for (const Uuid& report_id : step.acknowledged) executor_->acknowledged(report_id);
    if (step.close) {
        complain(*step.close);
        is_closing_ = true;
        outlets_.close();
    }
}

/// Without it the orchestrator leaves this host's jobs where they are, which is safe.
void SessionSteps::say_world() {
    world_said_ms_ = clock_.steady_ms();
    auto found = executor_->world();
    if (!found) {
        log::error("session", found.error().text());
        return;
    }
    for (const AgentMessage& message : session_.world(*std::move(found), clock_.steady_ms()).send)
        outlets_.send(message);
}

/// A witness that cannot write goes on migrating: the anchors have other places.
void SessionSteps::keep(const AnchorMade& made) {
    const auto kept = keep_anchor(paths_, made);
    if (!kept) log::error("session", "an anchor is not kept: " + kept.error().text());
}

void SessionSteps::obey(const EffectWanted& wanted) {
    const wire::AgentStep step = session_.obeyed(wanted.head, clock_.steady_ms());
    if (persist(step.persist)) executor_->wanted(wanted);
}

void SessionSteps::connected() {
    is_closing_ = false;
    apply(session_.connected(clock_.steady_ms()));
}

void SessionSteps::received(const OrchestratorMessage& message) {
    apply(session_.received(message, clock_.steady_ms()));
}

void SessionSteps::disconnected(const Error& why) {
    // A connection that the session itself closed has its reason already.
    if (!is_closing_) complain(why);
    session_.disconnected();
}

void SessionSteps::tick() {
    apply(session_.tick(clock_.steady_ms()));
    if (session_.wants_world() && clock_.steady_ms() - world_said_ms_ >= world_interval_ms)
        say_world();
    executor_->tick();
}

void SessionSteps::taken(const EffectId& effect) {
    apply(session_.taken(effect, clock_.steady_ms()));
}

void SessionSteps::report(const Report& report) {
    apply(session_.report(report, clock_.steady_ms()));
}

void SessionSteps::progress(const Progress& progress) {
    apply(session_.progress(progress, clock_.steady_ms()));
}

}  // namespace drover::agent
