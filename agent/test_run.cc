#include "agent/test_run.h"

#include "agent/json_file.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mutation.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace drover::agent {
namespace {

/// For the disks to be at a point.
constexpr std::int64_t point_wait_ms = 30'000;

/// By the number of the state; never renamed.
constexpr std::array<std::string_view, 5> state_names = {"starting", "frozen", "standing",
                                                         "running", "reverting"};

/// What failed, and that the undoing failed as well.
Error half_undone(const Error& failed, const Error& undo) {
    return Error(undo.code(), undo.id(),
                 failed.detail() + "; and it cannot be undone yet: " + undo.detail(),
                 "the target's disks and the journal; replication waits for the revert",
                 "correct the cause, then revert the test");
}

}  // namespace

Result<std::optional<OverlayPlan>> choose_overlay(const AgentParts& parts, const std::string& name,
                                                  const std::vector<std::string>& disks) {
    const Config& config = parts.config;
    if (config.test_directory.empty() || config.test_overlay == "none")
        return std::optional<OverlayPlan>();
    OverlayPlan plan{name, disks, config.test_directory, config.test_overlay};
    if (plan.kind != "auto") {
        TRY_VOID(parts.host.can_overlay(plan));
        return std::optional(std::move(plan));
    }
    // First those that are disks of the same kind, so that any workload can use them.
    std::string why_not;
    for (const char* kind : {"reflink", "dm-snapshot", "qcow2"}) {
        plan.kind = kind;
        const auto can = parts.host.can_overlay(plan);
        if (can) return std::optional(std::move(plan));
        why_not += (why_not.empty() ? "" : "; ") + can.error().detail();
    }
    return Error(Errc::unsupported, "overlay_unsupported", why_not,
                 "the target's disks; nothing was changed",
                 "choose test.directory and test.overlay so that one kind is possible");
}

TestRun::TestRun(const AgentParts& parts, const JobId& job)
    : parts_(parts),
      job_(job),
      path_(parts.paths.job(job, Side::target) / "test") {}

// ---- the record ----

Result<std::optional<TestRun::Record>> TestRun::load() const {
    const auto loaded = Fields::load(path_);
    if (!loaded && loaded.error().code() == Errc::not_found) return std::optional<Record>();
    if (!loaded) return loaded.error();
    const Fields& fields = *loaded;
    Record record;
    TRY(const std::string state, fields.text("state"));
    const auto known = std::find(state_names.begin(), state_names.end(), state);
    if (known == state_names.end())
        return Error(Errc::corrupt, "record_damaged", path_.native() + " is damaged",
                     "the test and the target's disks",
                     "restore the state directory from a backup");
    record.state = static_cast<State>(known - state_names.begin());
    TRY(record.stop_hook.name, fields.text("stop_hook"));
    TRY(record.stop_hook.sha256, fields.id<Hash>("stop_hook_sha256"));
    TRY(const std::uint64_t hook_due, fields.number("hook_due"));
    record.hook_due = hook_due != 0;
    record.overlay.name = job_.hex();
    TRY(record.overlay.disks, fields.list("base"));
    TRY(record.overlay.directory, fields.text("directory"));
    TRY(record.overlay.kind, fields.text("overlay"));
    record.done.overlay = record.overlay.kind;
    TRY(record.done.point, fields.number("point"));
    TRY(const std::uint64_t kind, fields.number("point_kind"));
    record.done.point_kind = static_cast<PointKind>(
        std::min<std::uint64_t>(kind, static_cast<std::uint64_t>(PointKind::application)));
    TRY(const std::uint64_t taken, fields.number("taken_micros"));
    record.done.taken_micros = static_cast<WallMicros>(taken);
    TRY(record.done.disks, fields.list("disks"));
    TRY(const std::string boot_id, fields.text("boot_id"));
    // Devices of another boot may be somebody else's by now.
    if (boot_id != parts_.fences.host().boot_id) {
        record.done.disks.clear();
        if (record.state != State::starting && record.state != State::reverting)
            record.state = State::frozen;
    }
    return std::optional(std::move(record));
}

Result<> TestRun::store(const Record& record) const {
    TRY_VOID(make_directory_durably(path_.parent_path()));
    Fields fields;
    fields.set("state", std::string(state_names.at(static_cast<std::size_t>(record.state))));
    fields.set("stop_hook", record.stop_hook.name);
    fields.set("stop_hook_sha256", record.stop_hook.sha256.hex());
    fields.set_number("hook_due", record.hook_due ? 1 : 0);
    fields.set_list("base", record.overlay.disks);
    fields.set("directory", record.overlay.directory.native());
    fields.set("overlay", record.overlay.kind);
    fields.set_number("point", record.done.point);
    fields.set_number("point_kind", static_cast<std::uint64_t>(record.done.point_kind));
    fields.set_number("taken_micros", static_cast<std::uint64_t>(record.done.taken_micros));
    fields.set_list("disks", record.done.disks);
    fields.set("boot_id", parts_.fences.host().boot_id);
    return fields.store(path_);
}

Result<bool> TestRun::is_open() const {
    TRY(const auto record, load());
    return record.has_value();
}

// ---- to the test ----

/// The record of an interrupted start, or a new one.
Result<TestRun::Record> TestRun::begin(const StartTestWork& work, const TargetJobFacts& job) {
    TRY(auto earlier, load());
    if (earlier && earlier->state == State::reverting) TRY_VOID(undo(*earlier, job));
    if (earlier && earlier->state != State::reverting) return std::move(*earlier);
    TRY(auto overlay, choose_overlay(parts_, job_.hex(), job.disks));
    if (!overlay)
        return Error(Errc::unsupported, "overlay_unsupported",
                     "the target's configuration names no directory for tests", "the copy goes on",
                     "set test.directory in agent.toml, restart the agent, then plan anew");
    Record record;
    record.stop_hook = work.test_stop_hook;
    record.overlay = std::move(*overlay);
    record.done.overlay = record.overlay.kind;
    TRY_VOID(store(record));
    parts_.step("test.record");
    return record;
}

Result<> TestRun::advance(Record& record, const StartTestWork& work, const TargetJobFacts& job,
                          const Replica& replica) {
    if (record.state == State::starting) {
        TRY(const auto open, replica());
        TRY(const replicator::BatchMark point, open->begin_test(point_wait_ms));
        record.done.point = point.batch;
        record.done.point_kind = point.kind;
        record.done.taken_micros = point.taken_micros;
        record.state = State::frozen;
        TRY_VOID(store(record));
        parts_.step("test.frozen");
    }
    if (record.state == State::frozen) {
        TRY(record.done.disks, parts_.host.make_overlays(record.overlay));
        record.state = State::standing;
        record.hook_due = true;
        TRY_VOID(store(record));
        parts_.step("test.standing");
    }
    if (record.state == State::standing) {
        if (!work.test_start_hook.empty())
            TRY_VOID(parts_.host.run_hook({work.test_start_hook, HookStep::test_start, job.job_name,
                                           job.disks, FenceToken(), record.done.disks}));
        record.state = State::running;
        TRY_VOID(store(record));
        parts_.step("test.running");
    }
    return {};
}

Result<StartTestDone> TestRun::start(const StartTestWork& work, const TargetJobFacts& job,
                                     const Replica& replica) {
    TRY(Record record, begin(work, job));
    const Result<> done = advance(record, work, job, replica);
    if (done) {
        log::info("target", "a test runs on point " + std::to_string(record.done.point),
                  "job=" + job.job_name + " overlay=" + record.done.overlay);
        return record.done;
    }
    const Result<> reverted = revert(work.test_stop_hook, job, replica);
    return reverted ? done.error() : half_undone(done.error(), reverted.error());
}

// ---- and back ----

/// The workload first, then what it ran on.
Result<> TestRun::undo(Record& record, const TargetJobFacts& job) {
    record.state = State::reverting;
    TRY_VOID(store(record));
    parts_.step("test.reverting");
    if (record.hook_due && !record.stop_hook.empty())
        TRY_VOID(parts_.host.run_hook({record.stop_hook, HookStep::test_stop, job.job_name,
                                       job.disks, FenceToken(), record.done.disks}));
    parts_.step("test.stopped");
    if (!DROVER_MUTANT("overlay_left")) TRY_VOID(parts_.host.remove_overlays(record.overlay));
    parts_.step("test.removed");
    return {};
}

Result<> TestRun::revert(const Hook& test_stop_hook, const TargetJobFacts& job,
                         const Replica& replica) {
    TRY(auto record, load());
    if (!record) return {};
    if (!test_stop_hook.empty()) record->stop_hook = test_stop_hook;
    TRY_VOID(undo(*record, job));
    TRY(const auto open, replica());
    TRY_VOID(open->end_test());
    parts_.step("test.ended");
    TRY_VOID(remove_file_durably(path_));
    log::info("target", "the test is reverted; replication goes on", "job=" + job.job_name);
    return {};
}

Result<> TestRun::abandon(const TargetJobFacts& job) {
    TRY(auto record, load());
    return record ? undo(*record, job) : Result<>();
}

}  // namespace drover::agent
