#include "agent/activation.h"

#include "agent/json_file.h"
#include "base/log.h"
#include "base/mutation.h"
#include "wire/pki.h"

#include <algorithm>
#include <charconv>

namespace drover::agent {
namespace {

constexpr const char* kept_unreleased =
    "the source stays fenced and whole; the verified copy is kept and was not released";
constexpr const char* kept_released =
    "the source stays fenced and whole; the target's disks are released and writable";

GuardName guard_of(const JobId& job) {
    return {job, Side::target};
}

std::filesystem::path file_of(const StatePaths& paths, const JobId& job) {
    return paths.job(job, Side::target) / "activation";
}

std::optional<ActivationState> state_from(const std::string& text) {
    for (const auto state : {ActivationState::activating, ActivationState::promoted,
                             ActivationState::active, ActivationState::deactivated})
        if (activation_text(state) == text) return state;
    return std::nullopt;
}

Error refused(const std::string& why) {
    return Error(Errc::denied, "proof_refused", "the proof of the fence was refused: " + why,
                 kept_unreleased, "roll back; if it happens again, look at who signed the proof");
}

Error tombstoned() {
    return Error(Errc::denied, "token_tombstoned",
                 "this token was deactivated on this host and is dead", kept_unreleased,
                 "roll back and start a new cutover: it draws a new token");
}

}  // namespace

std::string activation_text(ActivationState state) {
    switch (state) {
        case ActivationState::activating:
            return "activating";
        case ActivationState::promoted:
            return "promoted";
        case ActivationState::active:
            return "active";
        case ActivationState::deactivated:
            return "deactivated";
    }
    return {};
}

Result<std::optional<Activation>> load_activation(const StatePaths& paths, const JobId& job) {
    const auto file = file_of(paths, job);
    auto loaded = Fields::load(file);
    if (!loaded && loaded.error().code() == Errc::not_found) return std::optional<Activation>();
    if (!loaded) return loaded.error();
    const Fields& fields = *loaded;
    Activation activation;
    TRY(const std::string state, fields.text("state"));
    const auto known = state_from(state);
    if (!known)
        return Error(Errc::corrupt, "record_damaged", file.native() + " is damaged",
                     "nothing was changed", "restore the state directory from a backup");
    activation.state = *known;
    TRY(activation.token, fields.id<FenceToken>("token"));
    TRY(const std::uint64_t run, fields.number("run"));
    activation.run = static_cast<std::uint32_t>(run);
    TRY(activation.ticket_serial, fields.number("ticket_serial"));
    TRY(activation.boot_id, fields.text("boot"));
    TRY(activation.baseline, fields.list("baseline"));
    TRY(const std::uint64_t micros, fields.number("activated_micros"));
    activation.activated_micros = static_cast<WallMicros>(micros);
    TRY(activation.bytes_written, fields.number("bytes_written"));
    // Version 1.0 kept no change map.
    if (!fields.has("changes.count")) return std::optional(std::move(activation));
    TRY(activation.changes, fields.list("changes"));
    TRY(activation.changes_lost, fields.text("changes_lost"));
    TRY(activation.changed_bytes, fields.number("changed_bytes"));
    TRY(const std::uint64_t known_changes, fields.number("changes_known"));
    activation.changes_known = known_changes != 0;
    return std::optional(std::move(activation));
}

Result<> store_activation(const StatePaths& paths, const JobId& job, const Activation& activation) {
    TRY_VOID(make_directory_durably(paths.job(job, Side::target)));
    Fields fields;
    fields.set("state", activation_text(activation.state));
    fields.set("token", activation.token.hex());
    fields.set_number("run", activation.run);
    fields.set_number("ticket_serial", activation.ticket_serial);
    fields.set("boot", activation.boot_id);
    fields.set_list("baseline", activation.baseline);
    fields.set_number("activated_micros", static_cast<std::uint64_t>(activation.activated_micros));
    fields.set_number("bytes_written", activation.bytes_written);
    fields.set_list("changes", activation.changes);
    fields.set("changes_lost", activation.changes_lost);
    fields.set_number("changed_bytes", activation.changed_bytes);
    fields.set_number("changes_known", activation.changes_known ? 1 : 0);
    return fields.store(file_of(paths, job));
}

Result<> check_fence_proof(const Effect& effect, const std::string& authority_pem,
                           WallMicros now_micros) {
    const auto& work = std::get<ActivateWork>(effect.work);
    const FenceProof& proof = work.proof;
    if (proof.token != work.token) return refused("it is about another token");
    if (proof.job != effect.id.job) return refused("it is about another job");
    auto signer = wire::verified_identity(proof.certificate_pem, authority_pem, now_micros);
    if (!signer) return refused("its certificate: " + signer.error().detail());
    if (*signer != wire::agent_identity(work.source_agent))
        return refused("signed by " + *signer + ", not by the source agent " + work.source_agent);
    auto genuine =
        wire::verify_signature(proof.certificate_pem, fence_proof_message(proof), proof.signature);
    if (!genuine) return refused("its signature: " + genuine.error().detail());
    return {};
}

Result<> Activator::check_allowed(const Effect& effect, const TargetJobFacts& job) {
    const auto& work = std::get<ActivateWork>(effect.work);
    if (parts_.journal.is_tombstoned(work.token)) return tombstoned();
    TRY_VOID(
        check_fence_proof(effect, parts_.identity.tls.authority_pem, parts_.clock.wall_micros()));
    TRY(const auto earlier, load_activation(parts_.paths, effect.id.job));
    if (earlier && work.proof.run < earlier->run)
        return refused("it is of run " + std::to_string(work.proof.run) + ", this host saw run " +
                       std::to_string(earlier->run));
    if (earlier && earlier->token != work.token && earlier->state != ActivationState::deactivated)
        return Error(Errc::conflict, "target_active", "this target is active under another token",
                     kept_released, "deactivate it first");
    for (const std::string& disk : job.disks)
        TRY_VOID(check_exposed(parts_.exposures, parts_.host, disk));
    return {};
}

Result<> Activator::set_baseline(Activation& activation, const std::vector<std::string>& disks) {
    activation.baseline.clear();
    activation.boot_id = parts_.host.identity().boot_id;
    for (const std::string& disk : disks) {
        TRY(const auto bytes, parts_.host.bytes_written(disk));
        activation.baseline.push_back(bytes ? std::to_string(*bytes) : std::string());
    }
    return {};
}

/// The record of this token: an earlier attempt's, or a new one.
Result<Activation> Activator::begin(const Effect& effect, const TargetJobFacts& job) {
    const auto& work = std::get<ActivateWork>(effect.work);
    TRY(const auto earlier, load_activation(parts_.paths, job.job));
    if (earlier && earlier->token == work.token) return *earlier;
    Activation activation;
    activation.token = work.token;
    activation.run = work.proof.run;
    activation.ticket_serial = job.ticket_serial;
    // The source is fenced and drained, so nothing of ours is written to these disks any more: what
    // is counted from here on is the users'.
    TRY_VOID(set_baseline(activation, job.disks));
    TRY_VOID(store_activation(parts_.paths, job.job, activation));
    parts_.step("activate.record");
    return activation;
}

/// From our guard to the users. Every step may be repeated.
Result<> Activator::hand_over(const Effect& effect, const TargetJobFacts& job) {
    const auto& work = std::get<ActivateWork>(effect.work);
    TRY_VOID(parts_.host.end_guard(guard_of(job.job)));
    // Only now: what udev tells of the disks has to find them free. The hook needs it done.
    for (const std::string& disk : job.disks) TRY_VOID(parts_.host.show_to_udev(disk));
    parts_.step("activate.guard");
    if (!work.post_activate_hook.empty())
        TRY_VOID(parts_.host.run_hook({work.post_activate_hook, HookStep::post_activate,
                                       job.job_name, job.disks, work.token}));
    parts_.step("activate.hook");
    return {};
}

Result<ReportBody> Activator::activate(const Effect& effect, const TargetJobFacts& job,
                                       const Promote& promote) {
    TRY_VOID(check_allowed(effect, job));
    TRY(Activation activation, begin(effect, job));
    if (activation.state == ActivationState::activating) {
        TRY_VOID(promote());
        // Between our last write and the users' first.
        attach_changes(activation, job);
        parts_.step("activate.changes");
        activation.state = ActivationState::promoted;
        TRY_VOID(store_activation(parts_.paths, job.job, activation));
        parts_.step("activate.promote");
    }
    if (activation.state == ActivationState::promoted) {
        auto handed_over = hand_over(effect, job);
        if (!handed_over) {
            const Error& error = handed_over.error();
            return Error(error.code(), error.id(), error.detail(), kept_released,
                         "correct the cause and retry, or roll back");
        }
        activation.state = ActivationState::active;
        activation.activated_micros = parts_.clock.wall_micros();
        TRY_VOID(store_activation(parts_.paths, job.job, activation));
        parts_.step("activate.active");
    }
    return ReportBody(ActivateDone{activation.activated_micros});
}

Result<std::optional<ReportBody>> Activator::probe(const Effect& effect) {
    const auto& work = std::get<ActivateWork>(effect.work);
    TRY(const auto activation, load_activation(parts_.paths, effect.id.job));
    const bool active = activation && activation->token == work.token &&
                        activation->state == ActivationState::active;
    if (!active) return std::optional<ReportBody>();
    return std::optional(ReportBody(ActivateDone{activation->activated_micros}));
}

/// Unmounted, out of swap, and under guard again: nobody but us writes from here on.
Result<> Activator::take_back(const TargetJobFacts& job) {
    for (const std::string& disk : job.disks) {
        TRY_VOID(parts_.host.unmount(disk));
        TRY_VOID(parts_.host.swap_off(disk));
    }
    parts_.step("deactivate.unmount");
    constexpr int looks_max = 20;
    constexpr std::int64_t look_wait_ms = 100;
    for (const std::string& disk : job.disks) {
        TRY(auto uses, parts_.host.uses(disk));
        for (int look = 1; !uses.empty() && look < looks_max; ++look) {
            parts_.host.wait_ms(look_wait_ms);
            TRY(uses, parts_.host.uses(disk));
        }
        if (!uses.empty())
            return Error(Errc::unavailable, "target_in_use",
                         disk + " is still in use: " + uses.front().detail,
                         "all data on the target; the source stays fenced",
                         "stop what uses it, for example in the pre-deactivate hook, then retry");
    }
    TRY_VOID(parts_.host.hold_guard(guard_of(job.job), job.disks));
    for (const std::string& disk : job.disks) TRY_VOID(parts_.host.hide_from_udev(disk));
    parts_.step("deactivate.guard");
    return {};
}

namespace {

DeactivateDone stopped(const Activation& activation) {
    return {true, activation.bytes_written, activation.changes_known, activation.changed_bytes};
}

}  // namespace

Result<ReportBody> Activator::deactivate(const Effect& effect, const TargetJobFacts& job) {
    const auto& work = std::get<DeactivateWork>(effect.work);
    TRY_VOID(parts_.journal.tombstone(work.token));
    parts_.step("deactivate.tombstone");
    TRY(auto activation, load_activation(parts_.paths, effect.id.job));
    if (!activation || activation->token != work.token) return ReportBody(DeactivateDone());
    if (activation->state == ActivationState::deactivated) return ReportBody(stopped(*activation));
    if (DROVER_MUTANT("deactivate_does_not_stop")) return ReportBody(DeactivateDone{true});
    if (!work.pre_deactivate_hook.empty()) {
        auto ran = parts_.host.run_hook({work.pre_deactivate_hook, HookStep::pre_deactivate,
                                         job.job_name, job.disks, work.token});
        if (!ran)
            return Error(ran.error().code(), ran.error().id(), ran.error().detail(),
                         "all data on the target, which may still be in service; the source stays "
                         "fenced",
                         "stop the workload on the target, then retry");
    }
    parts_.step("deactivate.hook");
    if (!DROVER_MUTANT("deactivate_trusts_hook")) TRY_VOID(take_back(job));
    TRY_VOID(settle_changes(*activation, job));
    TRY(const std::uint64_t counted, bytes_since(*activation, job.disks));
    activation->bytes_written = std::max(counted, activation->changed_bytes);
    activation->state = ActivationState::deactivated;
    TRY_VOID(store_activation(parts_.paths, job.job, *activation));
    parts_.step("deactivate.record");
    if (work.keep_changes || activation->changes.empty()) return ReportBody(stopped(*activation));
    changes_.forget(job.disks);
    activation->changes.clear();
    TRY_VOID(store_activation(parts_.paths, job.job, *activation));
    return ReportBody(stopped(*activation));
}

// ---- what the users write ----

/// Whatever becomes of it, the target goes into service.
void Activator::attach_changes(Activation& activation, const TargetJobFacts& job) {
    auto attached = changes_.attach(job.disks);
    activation.changes = attached ? std::move(*attached) : std::vector<std::string>();
    activation.changes_lost = attached ? std::string() : attached.error().detail();
    if (!attached) log::warn("target", attached.error().text(), "job=" + job.job_name);
}

Result<> Activator::lose_changes(Activation& activation, const TargetJobFacts& job,
                                 const Error& why) {
    log::warn("target", why.text(), "job=" + job.job_name);
    changes_.forget(job.disks);
    activation.changes.clear();
    activation.changes_lost = why.detail();
    return store_activation(parts_.paths, job.job, activation);
}

void Activator::watch_changes(const TargetJobFacts& job) {
    auto activation = load_activation(parts_.paths, job.job);
    if (!activation || !*activation || (*activation)->changes.empty()) return;
    // Settled; and its trackers may be with who sends what they know.
    if ((*activation)->state == ActivationState::deactivated) return;
    Activation& record = **activation;
    auto looked = changes_.resume(record.changes, record.boot_id, job.disks);
    if (looked) looked = changes_.look();
    if (looked || looked.error().id() != "change_map_lost") return;
    if (auto stored = lose_changes(record, job, looked.error()); !stored)
        log::error("target", stored.error().text(), "job=" + job.job_name);
}

/// Under guard: nobody writes any more.
Result<> Activator::settle_changes(Activation& activation, const TargetJobFacts& job) {
    if (activation.changes.empty()) return {};
    auto known = changes_.resume(activation.changes, activation.boot_id, job.disks);
    if (known) known = changes_.audit();
    if (!known) return lose_changes(activation, job, known.error());
    activation.changes_known = true;
    activation.changed_bytes = changes_.bytes();
    return {};
}

Result<> Activator::keep_down_if_due(const TargetJobFacts& job) {
    TRY(const auto activation, load_activation(parts_.paths, job.job));
    if (!activation) return {};
    const bool dead = parts_.journal.is_tombstoned(activation->token);
    if (activation->state == ActivationState::active && !dead) return {};
    log::warn("target", "kept down until the orchestrator answers",
              "job=" + job.job_name + " state=" + activation_text(activation->state));
    return take_back(job);
}

Result<std::uint64_t> Activator::bytes_since(const Activation& activation,
                                             const std::vector<std::string>& disks) {
    const bool same_boot = activation.boot_id == parts_.host.identity().boot_id;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < disks.size() && i < activation.baseline.size(); ++i) {
        TRY(const auto now, parts_.host.bytes_written(disks[i]));
        const std::string& text = activation.baseline[i];
        if (!now || text.empty()) continue;
        std::uint64_t before = 0;
        std::from_chars(text.data(), text.data() + text.size(), before);
        // After a reboot the counter began anew: what it shows is then a lower bound.
        total += same_boot && *now >= before ? *now - before : *now;
    }
    return total;
}

}  // namespace drover::agent
