#include "statemachine/state_digest.h"

#include "base/sha256.h"

#include <array>
#include <type_traits>

namespace drover::statemachine {

namespace {

/// Writes version 1. Every list in this class is final: what is stored in logs was made of it.
class BytesV1 {
  public:
    BytesV1() { put_bytes(out_, as_bytes("drover-state-1")); }

    [[nodiscard]] Bytes take() { return std::move(out_); }

    template <class... Ts>
    void all(const Ts&... values) {
        (put(values), ...);
    }

  private:
    void count(std::size_t value) { put_u32(out_, static_cast<std::uint32_t>(value)); }

    void put(bool value) { out_.push_back(value ? 1 : 0); }

    void put(const Hash& value) { put_bytes(out_, value.view()); }

    void put(const Uuid& value) { put_bytes(out_, value.view()); }

    void put(const std::string& value) {
        count(value.size());
        put_bytes(out_, as_bytes(value));
    }

    void put(const Bytes& value) {
        count(value.size());
        put_bytes(out_, value);
    }

    void put(const Limits& v) { all(v.rate_bytes_per_s); }

    void put(const DiskPair& v) { all(v.source, v.target); }

    void put(const JobSpec& v) {
        all(v.name, v.source_agent, v.target_agent, v.disks, v.hooks, v.limits, v.outage_max_s,
            v.hold_s, v.backlog_bytes_max);
    }

    void put(const Finding& v) { all(v.severity, v.id, v.object, v.detail, v.next); }

    void put(const DiskFacts& v) {
        all(v.path, v.identity, v.size_bytes, v.sector_bytes, v.tracker);
    }

    void put(const Endpoint& v) { all(v.host, v.control_port, v.bulk_port); }

    void put(const PreflightDone& v) {
        all(v.findings, v.disks, v.capabilities, v.hook_digests, v.endpoint, v.journal_mode);
    }

    void put(const ByteRange& v) { all(v.disk, v.offset, v.length); }

    void put(const DiskProof& v) { all(v.source_root, v.target_root, v.bytes); }

    void put(const FenceProof& v) {
        all(v.token, v.job, v.run, v.tracker_seq, v.fenced_micros, v.certificate_pem, v.signature);
    }

    void put(const Error& v) { all(v.code(), v.id(), v.detail(), v.kept(), v.next()); }

    void put(const ParkedState& v) { all(v.step, v.error, v.since_micros); }

    void put(const CutoverArmed& v) {
        all(v.by, v.at_micros, v.plan_hash, v.outage_max_s, v.pause_before_activate);
    }

    void put(const RollbackStarted& v) { all(v.mode, v.by, v.cause, v.acknowledged_loss); }

    void put(const Cause& v) { all(v.seq, v.wall_micros); }

    void put(const JobWorld& world) {
        const auto& [job, side, job_name, last_seq, busy, closed, fence, handover, handover_token,
                     breached] = world;
        all(job, side, job_name, last_seq, busy, closed, fence, handover, handover_token, breached);
    }

    void put(const Reconciling& v) { all(v.old_head_seq, v.since_micros, v.worlds); }

    template <class T>
    void put(const std::optional<T>& value) {
        put(value.has_value());
        if (value) put(*value);
    }

    template <class T>
    void put(const std::vector<T>& values) {
        count(values.size());
        for (const T& value : values) put(value);
    }

    template <class T, std::size_t N>
    void put(const std::array<T, N>& values) {
        count(values.size());
        for (const T& value : values) put(value);
    }

    template <class K, class T>
    void put(const std::map<K, T>& values) {
        count(values.size());
        for (const auto& [key, value] : values) all(key, value);
    }

    template <class T>
    void put(const T& value) {
        static_assert(std::is_enum_v<T> || std::is_integral_v<T>, "a form has to be written down");
        put_u64(out_, static_cast<std::uint64_t>(value));
    }

    Bytes out_;
};

}  // namespace

Bytes state_bytes_v1(const Job& job) {
    // Every member by its place: a new one does not compile here. Then this list gets the members'
    // names one by one, as they stand, and a version 2 begins.
    const auto& [id, lineage, spec, phase, exists, version, paused, pause_reason, parked,
                 quarantined, limits, preflight, plan_hash, findings, data_state,
                 data_state_since_micros, backlog_bytes, generation, generation_lost, ticket_serial,
                 ticket_not_after_micros, overwrite_acknowledged, run, armed, token, fence,
                 cutover_started_micros, outage_deadline_micros, deadline_passed, repair, repairs,
                 proof, activate_derived, activated_micros, target_took_writes,
                 target_bytes_written, hold_deadline_micros, decision_overdue, fence_breached,
                 fence_broken, rollback, reverse_verified, target_deactivated,
                 target_stop_confirmed, deactivate_pending, release_pending, cleaned_up,
                 deletion_wanted, data_deleted, agent_connected, attempt, phase_cause, run_cause,
                 copy_cause, fence_cause, deactivate_cause, release_cause, deletion_cause,
                 wake_cause, phase_since_micros, created_micros, reconciling, resolved] = job;
    static_cast<void>(lineage);  // the log's, which a restore changes; no event says it
    BytesV1 out;
    out.all(id, spec, phase, exists, version, paused, pause_reason, parked, quarantined, limits,
            preflight, plan_hash, findings, data_state, data_state_since_micros, backlog_bytes,
            generation, generation_lost, ticket_serial, ticket_not_after_micros,
            overwrite_acknowledged, run, armed, token, fence);
    out.all(cutover_started_micros, outage_deadline_micros, deadline_passed, repair, repairs, proof,
            activate_derived, activated_micros, target_took_writes, target_bytes_written,
            hold_deadline_micros, decision_overdue, fence_breached, fence_broken);
    out.all(rollback, reverse_verified, target_deactivated, target_stop_confirmed,
            deactivate_pending, release_pending, cleaned_up, deletion_wanted, data_deleted,
            agent_connected, attempt);
    out.all(phase_cause, run_cause, copy_cause, fence_cause, deactivate_cause, release_cause,
            deletion_cause, wake_cause, phase_since_micros, created_micros, reconciling, resolved);
    return out.take();
}

std::optional<Hash> state_digest(const Job& job, std::uint64_t version) {
    if (version != 1) return std::nullopt;
    return sha256(state_bytes_v1(job));
}

}  // namespace drover::statemachine
