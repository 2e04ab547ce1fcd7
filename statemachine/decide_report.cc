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

        std::optional<EffectKind> operator()(const StartTestDone&) {
            return EffectKind::start_test;
        }

        std::optional<EffectKind> operator()(const RevertTestDone&) {
            return EffectKind::revert_test;
        }

        std::optional<EffectKind> operator()(const ReverseDrainDone&) {
            return EffectKind::reverse_drain;
        }

        std::optional<EffectKind> operator()(const ReverseVerifyDone&) {
            return EffectKind::reverse_verify;
        }

        std::optional<EffectKind> operator()(const CompareDone&) { return EffectKind::compare; }
    };

    return std::visit(Kinds{}, body);
}

ByteRange whole_disk(std::uint32_t disk, const PreflightDone& source) {
    return {disk, 0, source.disks.at(disk).size_bytes};
}

/// What a proof may leave out.
enum class Scope : std::uint8_t {
    whole,      ///< nothing but free space that the plan says is not copied
    unwritten,  ///< that, and what the target's users wrote
    induction   ///< everything: only that the proof by induction holds is said
};

bool covers(const DiskProof& proof, std::uint64_t size_bytes, bool skips_free_space, Scope scope) {
    if (proof.skipped_bytes != 0 && !skips_free_space) return false;
    const DiskProof none{{}, {}, 0, proof.skipped_bytes, 0};
    if (scope == Scope::induction && proof == none) return true;
    if (proof.written_bytes != 0 && scope != Scope::unwritten) return false;
    if (proof.source_root != proof.target_root || proof.source_root.is_zero()) return false;
    return proof.bytes + proof.skipped_bytes + proof.written_bytes >= size_bytes;
}

/// What is not shown to be equal: the named ranges, and all of each disk that is not proved and of
/// which no range is named. Empty: every disk is proved and no range is named.
std::vector<ByteRange> unproved(const Job& job, const std::vector<DiskProof>& proofs,
                                const std::vector<ByteRange>& mismatches, Scope scope) {
    const PreflightDone& source = *preflight_of(job, Side::source);
    const std::size_t disks = source.disks.size();
    std::vector<ByteRange> ranges;
    std::set<std::uint32_t> named;
    for (const ByteRange& range : mismatches) {
        if (range.disk >= disks) continue;
        ranges.push_back(range);
        named.insert(range.disk);
    }
    const bool one_each = proofs.size() == disks && job.spec.disks.size() == disks;
    // Ranges of no disk of ours say that something is wrong, but not where.
    const bool lost = !mismatches.empty() && named.empty();
    for (std::uint32_t disk = 0; disk < disks; ++disk) {
        const bool proved = one_each && !lost &&
                            covers(proofs[disk], source.disks[disk].size_bytes,
                                   job.spec.disks[disk].skip_free_space, scope);
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

Error changes_unknown() {
    return Error(Errc::conflict, "change_map_lost",
                 "the target is down, but what its users wrote is not known block by block",
                 "the target's disks as its users left them; the source as it was fenced",
                 "abandon the target's writes to release the source as it was fenced, or bring "
                 "back by hand what the target has");
}

Error hold_mismatch(std::size_t ranges) {
    return Error(Errc::corrupt, "hold_mismatch",
                 "the target differs from the fenced source in " + std::to_string(ranges) +
                     " ranges that nobody wrote since its activation",
                 "the source as it was fenced; the target is in service",
                 "roll back, or commit without the comparison and say why");
}

Error reverse_mismatch(std::size_t ranges) {
    return Error(
        Errc::corrupt, "reverse_mismatch",
        "after the way back source and target differ in " + std::to_string(ranges) + " ranges",
        "the target's disks; the source can be taken back to its fence",
        "retry, or abandon the target's writes");
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
        Accepted accepted = if_legal(GenerationLost{body.disk, body.cause});
        if (accepted.events.empty()) return accepted;
        // What a Verify says that was asked before is about another copy.
        if (job_.phase == Phase::verifying)
            accepted.events.push_back(RetryStarted{"system", job_.attempt + 1});
        return accepted;
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
        Accepted accepted{{TargetDeactivated{body.was_active, body.bytes_written,
                                             body.changes_known, body.changed_bytes}}};
        const bool on_the_way = is_one_of(
            job_.phase, {Phase::rolling_back, Phase::reverse_draining, Phase::reverse_verifying});
        const bool keeps =
            on_the_way && job_.rollback->mode == RollbackMode::keep && !job_.reverse_verified;
        // In a reverse phase already: this undid an activation that became known late.
        const bool begins = keeps && job_.phase == Phase::rolling_back;
        if (begins && body.changes_known) accepted.events.push_back(TargetFenced{});
        if (keeps && !body.changes_known) {
            accepted.events.push_back(Parked{EffectKind::reverse_drain, changes_unknown()});
        }
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
        // A source that is being released takes writes again: that is what a release is for. With
        // what came back it is only released if nobody else wrote.
        const bool is_expected = wants_release(job_) && !job_.reverse_verified;
        if (known || !from_source() || !of_run() || is_expected) return {};
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
                              body.bytes_unverified, may_release_by_induction(job_, body)}}};
    }

    Accepted operator()(const VerifyDone& body) {
        if (!current()) return {};
        const Scope scope = job_.verifies_by_induction ? Scope::induction : Scope::whole;
        std::vector<ByteRange> ranges = unproved(job_, body.disks, body.mismatches, scope);
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

    // ---- tests, the comparison during the hold, the way back ----

    Accepted operator()(const StartTestDone& body) {
        if (job_.test || !current()) return {};
        return {{TestReady{body}}};
    }

    Accepted operator()(const RevertTestDone&) {
        if (!current()) return {};
        return {{TestReverted{}}};
    }

    Accepted operator()(const CompareDone& body) {
        if (!current()) return {};
        std::vector<ByteRange> ranges =
            unproved(job_, body.disks, body.mismatches, Scope::unwritten);
        if (ranges.empty()) return {{HoldCompared{body.disks, body.written}}};
        const Error error = hold_mismatch(ranges.size());
        return {{CopyDiffers{std::move(ranges)}, Parked{EffectKind::compare, error}}};
    }

    Accepted operator()(const ReverseDrainDone& body) {
        if (!current()) return {};
        return {{ReverseDrained{body.bytes}}};
    }

    Accepted operator()(const ReverseVerifyDone& body) {
        if (!current()) return {};
        const auto ranges = unproved(job_, body.disks, body.mismatches, Scope::induction);
        if (ranges.empty()) return {{ReverseVerified{body.disks}}};
        return {{Parked{EffectKind::reverse_verify, reverse_mismatch(ranges.size())}}};
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

    [[nodiscard]] bool goes_back() const {
        return is_one_of(job_.phase, {Phase::reverse_draining, Phase::reverse_verifying});
    }

    [[nodiscard]] bool from_source() const { return effect_.side == Side::source; }

    [[nodiscard]] bool of_run() const {
        return job_.run_cause.seq != 0 && effect_.seq >= job_.run_cause.seq;
    }

    [[nodiscard]] Accepted if_legal(Event fact) const {
        if (!next_phase(job_.phase, kind_of(fact))) return {};
        return {{std::move(fact)}};
    }

    void park_in_cutover(Accepted& accepted, Error error) const {
        const bool can_stop = is_in_cutover(job_.phase) || goes_back();
        if (accepted.events.empty() || !can_stop) return;
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
