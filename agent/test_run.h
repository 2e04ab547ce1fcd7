/// A test cutover on the target's host: the workload runs on overlays of the disks as they were at
/// a point, and nothing of it stays. Each step is durable in STATE/jobs/JOB-target/test before the
/// next begins, so that a killed agent neither changes the base under the workload nor forgets it.
///
///   starting ─► frozen ─► standing ─► running ─► reverting ─► (gone)
///            begin_test  overlays   test-start             test-stop, overlays, end_test
///
/// Every step may be repeated; the hooks too. A step that fails undoes the test. After a reboot the
/// overlays are made anew, or test-stop is told of none.
#pragma once

#include "agent/activation.h"
#include "agent/host_ops.h"
#include "agent/parts.h"
#include "replicator/target_replica.h"

#include <functional>
#include <memory>
#include <optional>

namespace drover::agent {

/// The first kind of overlay that the configuration allows and the host can make of all the disks.
/// nullopt: the configuration names none. Errors: unsupported ("overlay_unsupported").
[[nodiscard]] Result<std::optional<OverlayPlan>> choose_overlay(
    const AgentParts& parts, const std::string& name, const std::vector<std::string>& disks);

class TestRun {
  public:
    /// The open replica of the job, opened if need be.
    using Replica = std::function<Result<std::shared_ptr<replicator::TargetReplica>>()>;

    TestRun(const AgentParts& parts, const JobId& job);

    /// Durably not over yet. Errors: those of reading the record.
    [[nodiscard]] Result<bool> is_open() const;

    /// Errors: unsupported ("overlay_unsupported", "test_needs_journal"), unavailable
    /// ("no_point_yet", "disk_busy"), those of hooks, io. The test was undone, unless the detail
    /// says otherwise.
    [[nodiscard]] Result<StartTestDone> start(const StartTestWork& work, const TargetJobFacts& job,
                                              const Replica& replica);
    /// No test is a success. Errors: unavailable ("disk_busy": somebody holds an overlay), those of
    /// hooks, io: the test stands, or what is left of it; again.
    [[nodiscard]] Result<> revert(const Hook& test_stop_hook, const TargetJobFacts& job,
                                  const Replica& replica);
    /// The job ends: as revert(), with the hook of its start, and without a word to the replica,
    /// which forgets everything.
    [[nodiscard]] Result<> abandon(const TargetJobFacts& job);

  private:
    enum class State : std::uint8_t { starting, frozen, standing, running, reverting };

    struct Record {
        State state = State::starting;
        Hook stop_hook;
        bool hook_due = false;  ///< the workload may run: test-stop has to be run
        OverlayPlan overlay;
        StartTestDone done;
    };

    [[nodiscard]] Result<std::optional<Record>> load() const;
    [[nodiscard]] Result<> store(const Record& record) const;
    [[nodiscard]] Result<Record> begin(const StartTestWork& work, const TargetJobFacts& job);
    [[nodiscard]] Result<> advance(Record& record, const StartTestWork& work,
                                   const TargetJobFacts& job, const Replica& replica);
    [[nodiscard]] Result<> undo(Record& record, const TargetJobFacts& job);

    AgentParts parts_;
    const JobId job_;
    const std::filesystem::path path_;
};

}  // namespace drover::agent
