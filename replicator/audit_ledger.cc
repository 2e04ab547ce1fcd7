#include "replicator/audit_ledger.h"

#include <algorithm>

namespace drover::replicator {

namespace {

std::int64_t missing(std::uint64_t kernel, std::uint64_t base, std::uint64_t lost,
                     std::uint64_t traced) {
    return static_cast<std::int64_t>(kernel - base - lost - traced);
}

std::uint64_t drift_of(const AuditLedger& ledger, const AuditSample& sample) {
    return sample.issued - (sample.kernel.sum() - ledger.base.sum());
}

bool drift_is_known(const AuditLedger& ledger) {
    return ledger.drift_observations >= drift_observations_enough;
}

/// Everything is made dirty: what was missed before no longer matters. Issue events that were lost
/// still do, because their writes may be in flight.
void call_it_lost(Judgement& out, std::string why) {
    out.audit.verdict = Audit::Verdict::lost;
    out.audit.detail = std::move(why);
    out.remedy = Remedy::mark_all;
    out.ledger.window_lost = 0;
}

/// Starts the comparison with the kernel's counters anew.
void rebase(AuditLedger& ledger, const AuditSample& sample) {
    ledger.base.written = sample.kernel.written - sample.traced_after.written - ledger.lost.written;
    ledger.base.discarded =
        sample.kernel.discarded - sample.traced_after.discarded - ledger.lost.discarded;
    ledger.drift = 0;
    ledger.drift_observations = 0;
    ledger.raised = 0;
    ledger.behind_since_ms = 0;
}

void note_changes(AuditLedger& ledger, const AuditSample& sample) {
    if (sample.issued == ledger.last_issued && sample.kernel == ledger.last_kernel) return;
    ledger.last_issued = sample.issued;
    ledger.last_kernel = sample.kernel;
    ledger.unchanged_since_ms = sample.now_ms;
}

/// Returns the sectors of issue events found lost by this audit.
std::uint64_t note_drift(AuditLedger& ledger, const AuditSample& sample) {
    const std::uint64_t drift = drift_of(ledger, sample);
    if (ledger.drift_observations == 0) return 0;
    const auto fallen = static_cast<std::int64_t>(ledger.drift - drift);
    if (fallen <= 0) return 0;
    ledger.drift = drift;
    ledger.raised = 0;
    // The first few observations may have taken a write in flight for none; the lowest one is
    // right.
    if (!drift_is_known(ledger)) return 0;
    ledger.window_issue_lost += static_cast<std::uint64_t>(fallen);
    return static_cast<std::uint64_t>(fallen);
}

/// `found` sectors completed without an event.
void settle_loss(Judgement& out, std::uint64_t found, const AuditSample& sample) {
    AuditLedger& ledger = out.ledger;
    const std::int64_t written = missing(sample.kernel.written, ledger.base.written,
                                         ledger.lost.written, sample.traced_after.written);
    const std::int64_t discarded = missing(sample.kernel.discarded, ledger.base.discarded,
                                           ledger.lost.discarded, sample.traced_after.discarded);
    if (written > 0) ledger.lost.written += static_cast<std::uint64_t>(written);
    if (discarded > 0) ledger.lost.discarded += static_cast<std::uint64_t>(discarded);
    out.audit.lost_sectors = found;
    ledger.window_lost += found;
    const std::string sectors = std::to_string(found) + " sectors completed without an event";
    if (!drift_is_known(ledger))
        return call_it_lost(out, sectors + " before the first moment without writes in flight");
    if (ledger.window_issue_lost > 0)
        return call_it_lost(out, sectors + ", and " + std::to_string(ledger.window_issue_lost) +
                                     " were issued without one");
    // What was issued twice before may stand in for what was issued unseen since.
    if (static_cast<std::int64_t>(ledger.drift + ledger.raised - drift_of(ledger, sample)) > 0)
        return call_it_lost(out, sectors + ", perhaps issued without one");
    ++ledger.repairs;
    out.audit.verdict = Audit::Verdict::repaired;
    out.audit.detail = sectors + "; every block issued since is dirty again";
    out.remedy = Remedy::mark_issued;
}

/// With no write in flight the drift is not what it was: a request was requeued, unless one is in
/// flight after all. True once it is known which.
bool drift_is_settled(Judgement& out, std::uint64_t drift, SteadyMillis quiet_ms) {
    AuditLedger& ledger = out.ledger;
    ledger.raised = drift - ledger.drift;
    const bool hides_loss = ledger.raised > 0 && ledger.window_lost > 0;
    if (ledger.raised > 0 && quiet_ms < requeue_quiet_ms) {
        if (hides_loss) out.audit.verdict = Audit::Verdict::busy;
        return false;
    }
    if (hides_loss)
        call_it_lost(out, std::to_string(ledger.window_lost) +
                              " sectors completed without an event, perhaps issued without one");
    ledger.drift = drift;
    ledger.raised = 0;
    return true;
}

/// The audit is exact.
void settle_exact(Judgement& out, const AuditSample& sample) {
    AuditLedger& ledger = out.ledger;
    out.audit.verdict = Audit::Verdict::exact;
    if (ledger.lost.sum() > 0)
        out.audit.detail = "lost and repaired so far: " + std::to_string(ledger.lost.sum()) +
                           " sectors, " + std::to_string(ledger.repairs) + " repairs";
    if (sample.writes_in_flight != 0) return;
    const std::uint64_t drift = drift_of(ledger, sample);
    if (!drift_is_known(ledger)) {
        if (ledger.drift_observations == 0) ledger.drift = drift;
        ++ledger.drift_observations;
        return;
    }
    if (!drift_is_settled(out, drift, sample.now_ms - ledger.unchanged_since_ms)) return;
    ledger.window_lost = 0;
    ledger.window_issue_lost = 0;
    if (sample.now_ms - ledger.rotated_ms < rotation_ms_min) return;
    if (sample.issued == ledger.rotated_at_issued) return;
    out.rotate_issued = true;
    ledger.rotated_ms = sample.now_ms;
    ledger.rotated_at_issued = sample.issued;
}

/// Reasons that no block map can repair. Empty if there is none.
std::string beyond_repair(AuditLedger& ledger, const AuditSample& sample) {
    if (!sample.accounting_on) {
        rebase(ledger, sample);
        return "the kernel's I/O accounting of this disk was switched off";
    }
    if (sample.passthrough != ledger.passthrough_seen) {
        ledger.passthrough_seen = sample.passthrough;
        return "a passthrough command wrote to the disk, location unknown";
    }
    if (sample.out_of_bounds != ledger.out_of_bounds_seen) {
        ledger.out_of_bounds_seen = sample.out_of_bounds;
        return "a write lies outside the tracked size: the disk was resized";
    }
    return {};
}

}  // namespace

AuditLedger first_ledger(const AuditSample& sample) {
    AuditLedger ledger;
    rebase(ledger, sample);
    ledger.passthrough_seen = sample.passthrough;
    ledger.out_of_bounds_seen = sample.out_of_bounds;
    return ledger;
}

Judgement judge(const AuditLedger& before, const AuditSample& sample) {
    Judgement out;
    out.ledger = before;
    AuditLedger& ledger = out.ledger;
    note_changes(ledger, sample);
    if (std::string why = beyond_repair(ledger, sample); !why.empty()) {
        call_it_lost(out, std::move(why));
        return out;
    }
    const std::uint64_t issue_lost = note_drift(ledger, sample);
    const std::int64_t written = missing(sample.kernel.written, ledger.base.written,
                                         ledger.lost.written, sample.traced_after.written);
    const std::int64_t discarded = missing(sample.kernel.discarded, ledger.base.discarded,
                                           ledger.lost.discarded, sample.traced_after.discarded);
    const std::int64_t found =
        std::max<std::int64_t>(written, 0) + std::max<std::int64_t>(discarded, 0);
    if (written >= 0 && discarded >= 0) ledger.behind_since_ms = 0;
    if (found > 0) {
        settle_loss(out, static_cast<std::uint64_t>(found), sample);
        return out;
    }
    if (issue_lost > 0 && ledger.window_lost > 0) {
        call_it_lost(out, "completion and issue events were lost in the same window");
        return out;
    }
    out.audit.verdict = Audit::Verdict::busy;
    if (sample.traced_before != sample.traced_after) return out;
    if (written == 0 && discarded == 0) {
        settle_exact(out, sample);
        return out;
    }
    if (ledger.behind_since_ms == 0) ledger.behind_since_ms = sample.now_ms;
    if (sample.now_ms - ledger.behind_since_ms < behind_ms_max) return out;
    rebase(ledger, sample);
    call_it_lost(out,
                 "the kernel counted less than was traced: its accounting was off for a while");
    return out;
}

}  // namespace drover::replicator
