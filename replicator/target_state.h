/// A target's disks and its durable knowledge about them, shared by the sessions that come and go.
/// Thread-safe, but close_disks() only when no session uses them.
#pragma once

#include "replicator/checkpoint.h"
#include "replicator/target_replica.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace drover::replicator {

class TargetState {
  public:
    /// Reads the checkpoint, or starts an empty one in memory. Errors: corrupt, io, unsupported,
    /// conflict (it belongs to another job), invalid (a disk is too small).
    [[nodiscard]] static Result<std::unique_ptr<TargetState>> open(TargetConfig& config);

    [[nodiscard]] Checkpoint checkpoint() const;
    /// Makes it durable, then current. After an error nobody knows which one the file holds, and a
    /// number might name two batches: make_certain() before anything is built on checkpoint().
    [[nodiscard]] Result<> replace(const Checkpoint& checkpoint);
    /// After a replace() that failed: what the file holds is made durable and current. Else
    /// nothing.
    [[nodiscard]] Result<> make_certain();
    [[nodiscard]] Result<> remove_checkpoint();

    [[nodiscard]] BlockDevice& disk(std::size_t index) { return *disks_[index]; }

    [[nodiscard]] std::size_t disk_count() const { return disks_.size(); }

    [[nodiscard]] std::vector<std::uint64_t> disk_sizes() const;
    [[nodiscard]] std::vector<std::uint32_t> sector_bytes() const;

    void close_disks() { disks_.clear(); }

    std::atomic<std::uint64_t> bytes_written = 0;
    std::atomic<std::uint64_t> frames_unverified = 0;

  private:
    explicit TargetState(TargetConfig& config)
        : directory_(config.state_directory),
          disks_(std::move(config.disks)) {}

    void distrust_changed_disks();

    std::filesystem::path directory_;
    std::vector<std::unique_ptr<BlockDevice>> disks_;
    mutable std::mutex mutex_;
    Checkpoint checkpoint_;
    bool is_certain_ = true;
};

}  // namespace drover::replicator
