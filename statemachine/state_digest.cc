#include "statemachine/state_digest.h"

#include "base/sha256.h"

#include <array>
#include <type_traits>

namespace drover::statemachine {

namespace {

/// Every list in this class is as version 1 has it, and final: what is stored in logs was made of
/// it.
class BytesV1 {
  public:
    explicit BytesV1(std::string_view prefix) { put_bytes(out_, as_bytes(prefix)); }

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

void put_v1(BytesV1& out, const Job& job) {
    out.all(job.id, job.spec, job.phase, job.exists, job.version, job.paused, job.pause_reason,
            job.parked, job.quarantined, job.limits, job.preflight, job.plan_hash, job.findings,
            job.data_state, job.data_state_since_micros, job.backlog_bytes, job.generation,
            job.generation_lost, job.ticket_serial, job.ticket_not_after_micros,
            job.overwrite_acknowledged, job.run, job.armed, job.token, job.fence);
    out.all(job.cutover_started_micros, job.outage_deadline_micros, job.deadline_passed, job.repair,
            job.repairs, job.proof, job.activate_derived, job.activated_micros,
            job.target_took_writes, job.target_bytes_written, job.hold_deadline_micros,
            job.decision_overdue, job.fence_breached, job.fence_broken);
    out.all(job.rollback, job.reverse_verified, job.target_deactivated, job.target_stop_confirmed,
            job.deactivate_pending, job.release_pending, job.cleaned_up, job.deletion_wanted,
            job.data_deleted, job.agent_connected, job.attempt);
    out.all(job.phase_cause, job.run_cause, job.copy_cause, job.fence_cause, job.deactivate_cause,
            job.release_cause, job.deletion_cause, job.wake_cause, job.phase_since_micros,
            job.created_micros, job.reconciling, job.resolved);
}

void put_parts_of_proofs(BytesV1& out, const std::vector<DiskProof>& proofs) {
    for (const DiskProof& proof : proofs) out.all(proof.skipped_bytes, proof.written_bytes);
}

/// What version 2 has beside all of version 1.
void put_v2(BytesV1& out, const Job& job) {
    out.all(job.spec.comparison);
    for (const DiskPair& disk : job.spec.disks) out.all(disk.skip_free_space);
    put_parts_of_proofs(out, job.proof);
    out.all(job.test.has_value());
    if (job.test) {
        out.all(job.test->point, job.test->point_kind, job.test->taken_micros, job.test->overlay,
                job.test->disks);
    }
    out.all(job.test_reverting, job.verifies_by_induction, job.copy_suspect, job.hold_proof,
            job.hold_written);
    put_parts_of_proofs(out, job.hold_proof);
    out.all(job.copy_differs, job.comparison_waived, job.changes_known, job.target_changed_bytes);
}

/// As many members as version 2 writes, and the lineage, which is the log's: a new one does not
/// compile here. Then it goes into a list of a version 3.
[[maybe_unused]] void every_member_is_listed(const Job& job) {
    [[maybe_unused]] const auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15,
                                  m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26, m27, m28,
                                  m29, m30, m31, m32, m33, m34, m35, m36, m37, m38, m39, m40, m41,
                                  m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54,
                                  m55, m56, m57, m58, m59, m60, m61, m62, m63, m64, m65, m66, m67,
                                  m68, m69, m70, m71, m72, m73] = job;
}

}  // namespace

Bytes state_bytes(const Job& job, std::uint64_t version) {
    BytesV1 out("drover-state-" + std::to_string(version));
    put_v1(out, job);
    if (version >= 2) put_v2(out, job);
    return out.take();
}

std::optional<Hash> state_digest(const Job& job, std::uint64_t version) {
    if (version < 1 || version > digest_version) return std::nullopt;
    return sha256(state_bytes(job, version));
}

}  // namespace drover::statemachine
