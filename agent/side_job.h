/// One side of one job on this host, as the executor drives it. All calls but cancel() come one at
/// a time, on the job's worker, and may block.
#pragma once

#include "agent/parts.h"
#include "base/result.h"
#include "replicator/target_replica.h"
#include "schemas/model.h"

#include <optional>

namespace drover::agent {

/// What a job tells the executor by itself. Thread-safe; never blocks.
class JobEvents {
  public:
    virtual ~JobEvents() = default;
    /// A fact about a standing effect: journalled, then sent until acknowledged.
    virtual void observed(const EffectId& effect, ReportBody body) = 0;
    virtual void progress(Progress progress) = 0;
    /// Whether this job wants the peers' listener. Errors: those of PeerNetwork::listen.
    [[nodiscard]] virtual Result<> want_listener(const JobId& job, bool wanted) = 0;
};

class SideJob {
  public:
    virtual ~SideJob() = default;

    /// Once, first of all: closes again what must be closed on this host before its services start.
    /// Runs no hook, since a hook may start a service, which waits for us; bounded in time.
    [[nodiscard]] virtual Result<> secure() = 0;
    /// Once, then: re-establishes the rest of what must hold with no orchestrator in sight.
    [[nodiscard]] virtual Result<> start() = 0;

    /// A standing effect: its newest content, and that it is not wanted any more.
    [[nodiscard]] virtual Result<> want(const Effect& effect) = 0;
    [[nodiscard]] virtual Result<> withdraw(const EffectId& effect) = 0;

    /// A one-shot. `recovered`: an earlier process began it and its outcome is unknown.
    [[nodiscard]] virtual Result<ReportBody> run(const Effect& effect, bool recovered) = 0;
    /// Looks whether an ownership effect that was reported as failed is true in the world after
    /// all.
    [[nodiscard]] virtual Result<std::optional<ReportBody>> probe(const Effect& effect) = 0;

    /// About once a second.
    virtual void tick() = 0;

    /// From any thread: ends a drain or a comparison that waits for the peer.
    /// Also of those that have not begun yet, if their cause is older than `seq`.
    virtual void cancel(std::uint64_t seq) = 0;

    /// From any thread: withdraw() of this standing effect follows, once the lane is free.
    virtual void withdrawing(const EffectId&) {}
};

}  // namespace drover::agent
