/// Which blocks of an active target its users wrote: a change tracker on each disk, attached after
/// our last write and before the disks are let go, kept until the target is taken back.
///
///   attach() ─► generations, into the activation record ─► resume() in every later process
///
/// The activation never fails because of it: what cannot be tracked here, was lost by a reboot or
/// by the kernel, is not known from then on, and whoever asks hears why. What is known is complete:
/// a block outside of dirty() holds what the copy held, or a write of it is in flight.
#pragma once

#include "agent/parts.h"
#include "base/result.h"
#include "base/threads.h"
#include "replicator/held_target.h"
#include "replicator/tracker.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

/// The error of a map that cannot be had any more. Conflict ("change_map_lost").
[[nodiscard]] Error change_map_lost(const std::string& why);

/// Thread-safe, but for the views that dirty() hands out: they end with forget().
class ChangeMap final : public replicator::WrittenBlocks {
  public:
    ChangeMap(const AgentParts& parts, const JobId& job)
        : parts_(parts),
          job_(job) {}

    /// Begins anew with nothing written. The generations of the disks' trackers, for the record.
    /// Errors: change_map_lost, with the reason; nothing stays attached then.
    [[nodiscard]] Result<std::vector<std::string>> attach(const std::vector<std::string>& disks);

    /// Takes up what attach() began, in another process maybe. Does nothing if this one has it.
    /// Errors: change_map_lost, for good; others if a disk cannot be opened now.
    [[nodiscard]] Result<> resume(const std::vector<std::string>& generations,
                                  const std::string& boot_id,
                                  const std::vector<std::string>& disks);

    [[nodiscard]] bool is_attached() const;

    /// One look at the kernel's counters, which also keeps the trackers' logs short. Errors: as
    /// audit(), but for a busy disk.
    [[nodiscard]] Result<> look();

    /// Success: every write that completed before the call is in dirty(). Errors: change_map_lost,
    /// from then on at every call; unavailable ("change_map_busy"); io.
    [[nodiscard]] Result<> audit() override;

    /// Empty if nothing is attached.
    [[nodiscard]] replicator::BlockMap dirty(std::size_t disk) const;
    /// False only if no write of these blocks was issued since attach(); nor if nothing is
    /// attached.
    [[nodiscard]] bool may_be_written(std::size_t disk, std::uint64_t first_block,
                                      std::uint64_t blocks) const override;
    /// Of all disks, by dirty(), in whole blocks.
    [[nodiscard]] std::uint64_t bytes() const;

    /// The trackers go over to who sends what they know; tracking goes on. resume() has them again.
    [[nodiscard]] std::vector<std::unique_ptr<replicator::ChangeTracker>> take();

    /// Closed here, as by the end of the process.
    void let_go() { (void)take(); }

    /// Ends the tracking of these disks, of this process or an earlier one.
    void forget(const std::vector<std::string>& disks);

  private:
    using Tracker = std::unique_ptr<replicator::ChangeTracker>;

    [[nodiscard]] Result<Tracker> open(const std::string& path, std::size_t index) const;
    [[nodiscard]] Result<Tracker> open_anew(const std::string& path, std::size_t index) const;
    void forget_attached();
    [[nodiscard]] Result<> judge(const replicator::Audit& audit);

    AgentParts parts_;
    const JobId job_;
    mutable Mutex mutex_;
    std::vector<Tracker> trackers_;  ///< one a disk, or none
    std::optional<Error> lost_;      ///< the trackers themselves say so only once
};

}  // namespace drover::agent
