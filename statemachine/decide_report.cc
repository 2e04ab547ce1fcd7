// What agents say. A report about work that is not wanted any more is accepted without a fact,
// except where it changes who may write: such a fact is recorded whenever it comes, and what undoes
// it becomes outstanding.
#include "base/mutation.h"
#include "statemachine/deciders.h"
#include "statemachine/transitions.h"

#include <algorithm>
#include <set>

namespace drover::statemachine {
namespace {

/// The kind of effect that a body answers; nullopt: any.
std::optional<EffectKind> answered_by(const ReportBody& body) {
    struct Kinds {
        std::optional<EffectKind> operator()(const PreflightDone&) { return EffectKind::preflight; }

        std::optional<EffectKind> operator()(const MirrorDone&) { return EffectKind::replicate; }

        std::optional<EffectKind> operator()(const DataStateNow&) { return EffectKind::replicate; }

        std::optional<EffectKind> operator()(const GenerationGone&) {
            return EffectKind::replicate;
        }

        std::optional<EffectKind> operator()(const FenceDone&) { return EffectKind::fence; }

        std::optional<EffectKind> operator()(const FenceDeclined&) { return EffectKind::fence; }

        std::optional<EffectKind> operator()(const FenceBreach&) { return std::nullopt; }

        std::optional<EffectKind> operator()(const FenceBrokenByRoot&) { return std::nullopt; }

        std::optional<EffectKind> operator()(const DrainDone&) { return EffectKind::drain; }

        std::optional<EffectKind> operator()(const VerifyDone&) { return EffectKind::verify; }

        std::optional<EffectKind> operator()(const ActivateDone&) { return EffectKind::activate; }

        std::optional<EffectKind> operator()(const ValidateDone&) { return EffectKind::validate; }

        std::optional<EffectKind> operator()(const DeactivateDone&) {
            return EffectKind::deactivate;
        }

        std::optional<EffectKind> operator()(const ReleaseDone&) { return EffectKind::release; }

        std::optional<EffectKind> operator()(const CleanupDone&) { return EffectKind::cleanup; }

        std::optional<EffectKind> operator()(const DataDeleted&) { return EffectKind::delete_data; }

        std::optional<EffectKind> operator()(const StepFailed&) { return std::nullopt; }
    };

    return std::visit(Kinds{}, body);
}

ByteRange whole_disk(std::uint32_t disk, const PreflightDone& source) {
    return {disk, 0, source.disks.at(disk).size_bytes};
}

bool proves(const DiskProof& proof, const DiskFacts& disk) {
    return proof.source_root == proof.target_root && !proof.source_root.is_zero() &&
           proof.bytes >= disk.size_bytes;
}

/// What has to be sent again: the named ranges, and all of each disk that is not proved equal and
/// of which no range is named. Empty: every disk is proved and no range is named.
std::vector<ByteRange> to_repair(const PreflightDone& source, const VerifyDone& report) {
    const std::size_t disks = source.disks.size();
    std::vector<ByteRange> ranges;
    std::set<std::uint32_t> named;
    for (const ByteRange& range : report.mismatches) {
        if (range.disk >= disks) continue;
        ranges.push_back(range);
        named.insert(range.disk);
    }
    const bool one_each = report.disks.size() == disks;
    // Ranges of no disk of ours say that something is wrong, but not where.
    const bool lost = !report.mismatches.empty() && named.empty();
    for (std::uint32_t disk = 0; disk < disks; ++disk) {
        const bool proved = one_each && !lost && proves(report.disks[disk], source.disks[disk]);
        if (!proved && !named.contains(disk)) ranges.push_back(whole_disk(disk, source));
    }
    if (ranges.size() <= mismatches_max) return ranges;
    ranges.clear();
    for (std::uint32_t disk = 0; disk < disks; ++disk) ranges.push_back(whole_disk(disk, source));
    return ranges;
}

Error verify_mismatch(std::size_t ranges) {
    return Error(Errc::corrupt, "verify_mismatch",
                 "source and target differ in " + std::to_string(ranges) + " ranges after " +
                     std::to_string(repairs_max) + " repairs",
                 "the source is unchanged and fenced; the target was not activated",
                 "roll back to put the source into service, then look at the target's disks");
}

Error breach(std::string_view id, std::string detail) {
    return Error(Errc::conflict, std::string(id), std::move(detail),
                 "the source's data; the copy as of the fence",
                 "roll back before the target is activated; after it, decide which side to keep");
}

class ReportDecider {
  public:
    ReportDecider(const Job& job, const EffectId& effect)
        : job_(job),
          effect_(effect) {}

    Accepted operator()(const PreflightDone& body) {
        if (!current()) return {};
        return decide_preflight_half(job_, effect_.side, body);
    }

    Accepted operator()(const MirrorDone& body) {
        if (job_.phase != Phase::mirroring || !from_source() || !current()) return {};
        return {{MirrorCompleted{body.generation}}};
    }

    Accepted operator()(const DataStateNow& body) {
        const bool news = body.state != job_.data_state || body.generation != job_.generation;
        if (!news || !from_source() || !current()) return {};
        return if_legal(DataStateChanged{body.state, body.generation, body.backlog_bytes});
    }

    Accepted operator()(const GenerationGone& body) {
        if (!current()) return {};
        return if_legal(GenerationLost{body.disk, body.cause});
    }

    // ---- ownership ----

    Accepted operator()(const FenceDone& body) {
        const FenceProof& proof = body.proof;
        if (proof.job != job_.id) return parked_by_wrong_proof();
        const bool recorded =
            (job_.fence && job_.fence->token == proof.token) || job_.release_pending == proof.token;
        if (recorded) return {};
        const bool of_this_run = job_.token == proof.token;
        const bool wrong_run = of_this_run && proof.run != job_.run;
        if (job_.phase == Phase::fencing && wrong_run) return parked_by_wrong_proof();
        // While a later run is under way the older fence is known to be released already.
        const bool in_run = is_in_cutover(job_.phase) || job_.phase == Phase::rolling_back;
        if (in_run && !of_this_run) return {};
        return if_legal(SourceFenced{proof});
    }

    Accepted operator()(const FenceDeclined& body) {
        // Late, it changes nothing: no fence stands.
        if (job_.phase != Phase::fencing || !current()) return {};
        return {{FenceRefused{body.backlog_bytes}}};
    }

    Accepted operator()(const ActivateDone& body) {
        if (job_.activated_micros != 0 || !of_run()) return {};
        return if_legal(TargetActivated{body.activated_micros});
    }

    Accepted operator()(const DeactivateDone& body) {
        const bool owed =
            job_.deactivate_pending || (job_.phase == Phase::rolling_back &&
                                        job_.activate_derived && !job_.target_deactivated);
        // Of a time before a late activation: that one still has to be undone.
        if (!owed || effect_.seq < job_.deactivate_cause.seq) return {};
        Accepted accepted{{TargetDeactivated{body.was_active, body.bytes_written}}};
        const bool keeps = job_.phase == Phase::rolling_back &&
                           job_.rollback->mode == RollbackMode::keep && !job_.reverse_verified;
        if (keeps) accepted.events.push_back(TargetFenced{});
        return accepted;
    }

    Accepted operator()(const ReleaseDone& body) {
        if (job_.phase == Phase::rolling_back) {
            if (!of_run()) return {};
            return {{SourceReleased{body.released_micros}}};
        }
        if (!job_.release_pending || effect_.seq != job_.release_cause.seq) return {};
        return if_legal(SourceReleased{body.released_micros});
    }

    // ---- the fence ----

    Accepted operator()(const FenceBreach& body) {
        // About Fence or HoldFence of this run: after a restart the agent finds out before it is
        // asked to hold, and it may say so before its fence is recorded here.
        const bool known = job_.fence_breached && (job_.parked || !is_in_cutover(job_.phase));
        // A source that is being released takes writes again: that is what a release is for.
        if (known || !from_source() || !of_run() || wants_release(job_)) return {};
        Accepted accepted = if_legal(FenceBreached{body.completions});
        park_in_cutover(accepted,
                        breach("fence_breached", std::to_string(body.completions) +
                                                     " writes completed on a fenced disk"));
        return accepted;
    }

    Accepted operator()(const FenceBrokenByRoot& body) {
        if (job_.fence_broken || !from_source() || !of_run()) return {};
        Accepted accepted = if_legal(FenceBroken{body.by});
        park_in_cutover(accepted, breach("fence_broken", "the fence was removed by " + body.by +
                                                             " on the source itself"));
        return accepted;
    }

    // ---- steps ----

    Accepted operator()(const DrainDone& body) {
        if (!current()) return {};
        return {{DeltaDrained{body.batch, body.bytes, body.bytes_read_back, body.bytes_differed,
                              body.bytes_unverified}}};
    }

    Accepted operator()(const VerifyDone& body) {
        if (!current()) return {};
        const auto& source = preflight_of(job_, Side::source);
        std::vector<ByteRange> ranges = to_repair(*source, body);
        if (ranges.empty() || DROVER_MUTANT("mismatch_ignored")) return verified(body);
        if (job_.repairs < repairs_max) return {{MismatchFound{std::move(ranges)}}};
        return {{Parked{EffectKind::verify, verify_mismatch(ranges.size())}}};
    }

    Accepted operator()(const ValidateDone& body) {
        if (!current()) return {};
        return {{TargetValidated{body.check}}};
    }

    Accepted operator()(const CleanupDone&) {
        if (!current()) return {};
        return {{CleanedUp{effect_.side}}};
    }

    Accepted operator()(const DataDeleted&) {
        if (!current()) return {};
        return {{TargetDataDeleted{}}};
    }

    Accepted operator()(const StepFailed& body) {
        const bool known = job_.parked && job_.parked->step == effect_.kind &&
                           job_.parked->error.id() == body.error.id();
        if (known || effect_.kind == EffectKind::wake_at || !current()) return {};
        // Its agent cleaned up after something newer than this log knows of.
        if (job_.resolved && body.error.id() == "stale_effect") return {{CleanedUp{effect_.side}}};
        Accepted accepted;
        if (effect_.kind == EffectKind::activate) {
            accepted.events.push_back(ActivationFailed{body.error});
        }
        if (effect_.kind == EffectKind::validate) {
            accepted.events.push_back(ValidationFailed{body.error});
        }
        accepted.events.push_back(Parked{effect_.kind, body.error});
        return accepted;
    }

  private:
    [[nodiscard]] bool current() const { return is_current(job_, effect_); }

    [[nodiscard]] bool from_source() const { return effect_.side == Side::source; }

    [[nodiscard]] bool of_run() const {
        return job_.run_cause.seq != 0 && effect_.seq >= job_.run_cause.seq;
    }

    [[nodiscard]] Accepted if_legal(Event fact) const {
        if (!next_phase(job_.phase, kind_of(fact))) return {};
        return {{std::move(fact)}};
    }

    void park_in_cutover(Accepted& accepted, Error error) const {
        if (accepted.events.empty() || !is_in_cutover(job_.phase)) return;
        if (DROVER_MUTANT("breach_ignored")) return;
        accepted.events.push_back(Parked{EffectKind::hold_fence, std::move(error)});
    }

    [[nodiscard]] Accepted parked_by_wrong_proof() const {
        if (job_.phase != Phase::fencing || !current()) return {};
        return {
            {Parked{EffectKind::fence, Error(Errc::corrupt, "fence_proof_wrong",
                                             "the source's fence proof is of another job or run",
                                             "everything that was copied; the source may be fenced",
                                             "roll back: that releases the source")}}};
    }

    [[nodiscard]] Accepted verified(const VerifyDone& body) const {
        Accepted accepted{{TargetVerified{body.disks}}};
        if (job_.armed && job_.armed->pause_before_activate) {
            accepted.events.push_back(
                Paused{job_.armed->by, "before activation, as asked for when it was armed"});
        }
        return accepted;
    }

    const Job& job_;
    const EffectId& effect_;
};

}  // namespace

Decision decide_on(const ReportReceived& wish, const Asked& asked) {
    const Job& job = asked.job;
    const EffectId& effect = wish.report.effect;
    const auto kind = answered_by(wish.report.body);
    if (effect.job != job.id || (kind && *kind != effect.kind)) {
        return reject(rejection::invalid_report,
                      "the report does not belong to the effect that it names",
                      "update the agent; what it did is not changed by this");
    }
    if (asked.command.actor != "agent:" + agent_of(job, effect.side)) {
        return reject(rejection::wrong_agent,
                      asked.command.actor + " reported work of agent " + agent_of(job, effect.side),
                      "check which certificate that host uses");
    }
    if (effect.lineage != job.lineage) return Accepted{};  // of a log that this one has replaced
    // Such a job owes nobody anything, whatever is still told of the time before its end.
    if (job.resolved && effect.kind != EffectKind::cleanup) return Accepted{};
    return std::visit(ReportDecider(job, effect), wish.report.body);
}

}  // namespace drover::statemachine
