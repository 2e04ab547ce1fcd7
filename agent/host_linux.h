/// HostOps on Linux, in this process. The parts: block_nodes.h and mounts.h (who uses a disk),
/// guard.h, hooks.h, blank_check.h, overlay.h, udev.h.
#pragma once

#include "agent/config.h"
#include "agent/guard.h"
#include "agent/hooks.h"
#include "agent/host_ops.h"
#include "base/random.h"

#include <filesystem>

namespace drover::agent {

struct HostLinuxOptions {
    HostIdentity identity;
    StatePaths paths;
    std::filesystem::path guard_program;  ///< the drover-agent executable
    std::map<std::string, std::string> hooks;
    std::uint32_t hook_timeout_s = 60;
};

class HostLinux final : public HostOps {
  public:
    HostLinux(HostLinuxOptions options, Random& random);

    [[nodiscard]] const HostIdentity& identity() const override { return options_.identity; }

    [[nodiscard]] Result<HostDisk> look_up(const std::string& path) override;
    [[nodiscard]] Result<std::unique_ptr<replicator::BlockDevice>> open_disk(
        const std::string& path, replicator::Access access) override;
    [[nodiscard]] Result<std::unique_ptr<replicator::ChangeTracker>> attach_tracker(
        replicator::BlockDevice& device, const replicator::TrackerOptions& options,
        std::string* why_not_ebpf) override;
    [[nodiscard]] Result<> can_track_blocks(const replicator::DeviceFacts& facts) override;
    [[nodiscard]] Result<replicator::FreeSpace> free_space(
        replicator::BlockDevice& device) override;
    [[nodiscard]] Result<std::vector<DiskUse>> uses(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> own_files_on(const std::string& path) override;
    [[nodiscard]] Result<> check_blank(const std::string& path) override;
    [[nodiscard]] Result<> unmount(const std::string& path) override;
    [[nodiscard]] Result<> swap_off(const std::string& path) override;
    [[nodiscard]] Result<> set_read_only(const std::string& path, bool read_only) override;
    [[nodiscard]] Result<> hold_guard(const GuardName& name,
                                      const std::vector<std::string>& disks) override;
    [[nodiscard]] Result<bool> guard_held(const GuardName& name,
                                          const std::vector<std::string>& disks) override;
    [[nodiscard]] Result<> end_guard(const GuardName& name) override;
    [[nodiscard]] Result<> hide_from_udev(const std::string& path) override;
    [[nodiscard]] Result<> show_to_udev(const std::string& path) override;
    [[nodiscard]] Result<Hash> check_hook(const std::string& name) override;
    [[nodiscard]] Result<> run_hook(const HookRun& run) override;
    [[nodiscard]] Result<> can_overlay(const OverlayPlan& plan) override;
    [[nodiscard]] Result<std::vector<std::string>> make_overlays(const OverlayPlan& plan) override;
    [[nodiscard]] Result<> remove_overlays(const OverlayPlan& plan) override;
    [[nodiscard]] std::shared_ptr<replicator::Freezer> freezer(const FreezePlan& plan) override;
    [[nodiscard]] Result<std::optional<std::uint64_t>> bytes_written(
        const std::string& path) override;
    [[nodiscard]] Result<std::uint64_t> write_mark(const std::string& path) override;
    void wait_ms(std::int64_t milliseconds) override;

  private:
    HostLinuxOptions options_;
    Random& random_;
    Hooks hooks_;
    GuardClient guards_;
};

}  // namespace drover::agent
