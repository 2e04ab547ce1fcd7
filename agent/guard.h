/// A guard keeps the disks of one side of one job from everybody else, beyond the agent's death.
///
///   agent ── starts ──► drover-agent guard ── forks, own session ──► guard process
///     └───── NAME.sock: "probe" ► ids of what it holds, "end" ► lets go and exits ─────┘
///
/// A block device is held with O_EXCL: the kernel then refuses every mount and every other
/// exclusive open of the disk *and of its partitions* (a claim of the whole covers them; they could
/// not be claimed besides it). An image file is held with flock(LOCK_EX).
///
/// Under systemd the agent's unit needs KillMode=process, or a restart would end the guards.
#pragma once

#include "agent/host_ops.h"
#include "base/result.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::agent {

/// The agent's half. Blocking, each call bounded by guard_timeout_ms. Thread-safe for different
/// names.
class GuardClient {
  public:
    /// `program`: the drover-agent executable; `directory` holds the sockets and pid files.
    GuardClient(std::filesystem::path program, std::filesystem::path directory)
        : program_(std::move(program)),
          directory_(std::move(directory)) {}

    [[nodiscard]] Result<> hold(const GuardName& name, const std::vector<std::string>& disks) const;
    [[nodiscard]] Result<bool> held(const GuardName& name,
                                    const std::vector<std::string>& disks) const;
    [[nodiscard]] Result<> end(const GuardName& name) const;

  private:
    [[nodiscard]] Result<> start(const GuardName& name,
                                 const std::vector<std::string>& disks) const;

    std::filesystem::path program_;
    std::filesystem::path directory_;
};

constexpr std::int64_t guard_timeout_ms = 10'000;

/// One string per disk that tells what is held, not how it is called: device number and diskseq, or
/// a file's device and inode.
[[nodiscard]] Result<std::string> guarded_id(const std::string& disk);

/// The guard program: opens everything, forks into its own session, says "held" or the error on
/// `ready_fd`, then serves NAME.sock until it is told to end. Returns an exit code, in the parent
/// after the fork and in the guard when it ends.
[[nodiscard]] int run_guard(const std::filesystem::path& directory, const std::string& name,
                            const std::vector<std::string>& disks, int ready_fd);

}  // namespace drover::agent
