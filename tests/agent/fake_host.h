/// A host in memory. It survives the "process": what a crash leaves behind is still there for the
/// next one. Every act can be made to fail once.
#pragma once

#include "agent/host_ops.h"
#include "base/random.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace drover::agent::testing {

/// What the kernel keeps of a tracked disk, beyond the life of the process.
struct FakeTracking {
    Generation generation;
    std::vector<std::uint64_t> dirty;
    std::uint64_t blocks = 0;
    bool lost = false;  ///< the next audit finds what it cannot explain
};

class FakeTracker final : public replicator::ChangeTracker {
  public:
    FakeTracker(std::map<std::string, FakeTracking>& kernel, std::string key, bool resumed)
        : kernel_(kernel),
          key_(std::move(key)),
          generation_(kernel_[key_].generation),
          resumed_(resumed) {}

    [[nodiscard]] std::string_view kind() const override { return "ebpf"; }

    [[nodiscard]] const Generation& generation() const override { return generation_; }

    [[nodiscard]] bool resumed() const override { return resumed_; }

    [[nodiscard]] replicator::BlockMap dirty() override {
        return {kernel_[key_].dirty.data(), kernel_[key_].blocks};
    }

    [[nodiscard]] Result<> refresh() override { return {}; }

    void observe(std::uint64_t, ByteView) override {}

    [[nodiscard]] std::uint64_t observe_bytes() const override { return replicator::block_bytes; }

    [[nodiscard]] std::uint64_t seq() override { return 0; }

    [[nodiscard]] Result<replicator::Audit> audit() override {
        replicator::Audit audit;
        if (!std::exchange(kernel_[key_].lost, false)) return audit;
        dirty().set_all();
        audit.verdict = replicator::Audit::Verdict::lost;
        audit.detail = "8 sectors completed without an event";
        return audit;
    }

    void forget() override { kernel_.erase(key_); }

  private:
    std::map<std::string, FakeTracking>& kernel_;
    std::string key_;
    Generation generation_;
    bool resumed_;
};

struct FakeDisk {
    std::string identity = "wwid:fake";
    std::uint64_t size_bytes = 1U << 20;
    bool mounted = false;
    bool read_only = false;
    bool hidden = false;  ///< from udev, at the next boot too
    bool blank = true;
    bool root = false;
    std::vector<DiskUse> other_uses;
    std::uint64_t write_mark = 0;
    std::uint64_t bytes_written = 0;
};

class FakeHost final : public HostOps {
  public:
    HostIdentity id{"host-a", "boot-1"};
    std::map<std::string, FakeDisk> disks;
    std::map<std::string, std::vector<std::string>> guards;  ///< by GuardName::text()
    std::vector<std::string> hooks_run;
    std::set<std::string> overlay_kinds = {"reflink", "qcow2"};  ///< that this host can make
    std::vector<std::string> overlays;                           ///< that stand now
    std::vector<std::string> test_disks;                         ///< that the last hook was told of
    std::vector<FreezePlan> freeze_plans;
    std::set<std::string> failing;  ///< acts that fail until removed, or hooks by name
    std::string fail_once;          ///< the act that fails the next time
    bool hooks_mount = true;        ///< post_release and post_activate mount the disks
    std::vector<std::string> acts;  ///< in the order done
    std::function<void()> on_wait;  ///< while time passes
    std::map<std::string, FakeTracking> tracking;  ///< by job and number, as in bpffs
    bool tracks_blocks = true;
    SeededRandom random{7};

    /// As the workload on the tracked target would: the first blocks of its first disk.
    void users_write(std::uint64_t blocks) {
        for (auto& [key, kernel] : tracking)
            replicator::BlockMap(kernel.dirty.data(), kernel.blocks).set(0, blocks);
    }

    [[nodiscard]] const HostIdentity& identity() const override { return id; }

    Result<HostDisk> look_up(const std::string& path) override {
        TRY_VOID(act("look_up"));
        TRY_VOID(there(path));
        HostDisk disk;
        disk.facts.path = path;
        disk.facts.identity = disks[path].identity;
        disk.facts.size_bytes = disks[path].size_bytes;
        disk.facts.is_block_device = true;
        disk.diskseq = 1;
        return disk;
    }

    Result<std::unique_ptr<replicator::BlockDevice>> open_disk(const std::string& path,
                                                               replicator::Access) override {
        TRY_VOID(act("open_disk"));
        TRY(const HostDisk disk, look_up(path));
        return std::unique_ptr<replicator::BlockDevice>(
            std::make_unique<replicator::MemoryDevice>(disk.facts.size_bytes));
    }

    Result<std::unique_ptr<replicator::ChangeTracker>> attach_tracker(
        replicator::BlockDevice& device, const replicator::TrackerOptions& options,
        std::string*) override {
        TRY_VOID(act("attach_tracker"));
        const std::string key = options.job.hex() + "-" + std::to_string(options.disk);
        const bool resumed = tracking.contains(key);
        if (!resumed) {
            FakeTracking& fresh = tracking[key];
            fresh.generation = random.uuid();
            fresh.blocks = replicator::blocks_of(device.facts().size_bytes);
            fresh.dirty.resize(replicator::words_of(fresh.blocks));
        }
        return std::unique_ptr<replicator::ChangeTracker>(
            std::make_unique<FakeTracker>(tracking, key, resumed));
    }

    Result<> can_track_blocks(const replicator::DeviceFacts&) override {
        if (tracks_blocks) return {};
        return Error(Errc::unsupported, "ebpf_unsupported", "the kernel carries no BTF");
    }

    Result<replicator::FreeSpace> free_space(replicator::BlockDevice&) override {
        return replicator::FreeSpace{};
    }

    Result<std::vector<DiskUse>> uses(const std::string& path) override {
        TRY_VOID(act("uses"));
        std::vector<DiskUse> out = disks[path].other_uses;
        if (disks[path].mounted) out.push_back({DiskUse::Kind::mount, path + " is mounted at /x"});
        return out;
    }

    Result<std::vector<std::string>> own_files_on(const std::string& path) override {
        TRY_VOID(there(path));
        if (disks[path].root) return std::vector<std::string>{"the root filesystem"};
        return std::vector<std::string>();
    }

    Result<> check_blank(const std::string& path) override {
        if (disks[path].blank) return {};
        return Error(Errc::conflict, "target_not_blank", path + " carries ext4", "kept", "next");
    }

    Result<> unmount(const std::string& path) override {
        TRY_VOID(act("unmount"));
        disks[path].mounted = false;
        return {};
    }

    Result<> swap_off(const std::string&) override { return act("swap_off"); }

    Result<> set_read_only(const std::string& path, bool read_only) override {
        TRY_VOID(act(read_only ? "set_read_only" : "set_writable"));
        disks[path].read_only = read_only;
        return {};
    }

    Result<> hold_guard(const GuardName& name, const std::vector<std::string>& held) override {
        TRY_VOID(act("hold_guard"));
        for (const std::string& disk : held) {
            TRY_VOID(there(disk));
            if (disks[disk].mounted)
                return Error(Errc::unavailable, "disk_busy", disk + " is mounted", "kept", "next");
        }
        guards[name.text()] = held;
        return {};
    }

    Result<bool> guard_held(const GuardName& name, const std::vector<std::string>& held) override {
        return guards.contains(name.text()) && guards[name.text()] == held;
    }

    Result<> end_guard(const GuardName& name) override {
        TRY_VOID(act("end_guard"));
        guards.erase(name.text());
        return {};
    }

    Result<> hide_from_udev(const std::string& path) override { return set_hidden(path, true); }

    Result<> show_to_udev(const std::string& path) override { return set_hidden(path, false); }

    Result<Hash> check_hook(const std::string& name) override {
        if (failing.contains(name))
            return Error(Errc::not_found, "hook_unknown", name, "kept", "next");
        return Hash();
    }

    Result<> run_hook(const HookRun& run) override {
        TRY_VOID(act("run_hook"));
        if (failing.contains(run.hook.name))
            return Error(Errc::io, "hook_failed", run.hook.name + " exited with 1", "kept", "next");
        hooks_run.push_back(run.hook.name);
        test_disks = run.test_disks;
        const bool starts =
            run.step == HookStep::post_release || run.step == HookStep::post_activate;
        for (const std::string& disk : run.disks)
            if (starts && hooks_mount) disks[disk].mounted = true;
        return {};
    }

    Result<> can_overlay(const OverlayPlan& plan) override {
        if (overlay_kinds.contains(plan.kind)) return {};
        return Error(Errc::unsupported, "overlay_unsupported", "no " + plan.kind, "kept", "next");
    }

    Result<std::vector<std::string>> make_overlays(const OverlayPlan& plan) override {
        TRY_VOID(act("make_overlays"));
        overlays.clear();
        for (const std::string& disk : plan.disks) overlays.push_back(disk + "." + plan.kind);
        return overlays;
    }

    Result<> remove_overlays(const OverlayPlan&) override {
        TRY_VOID(act("remove_overlays"));
        overlays.clear();
        return {};
    }

    std::shared_ptr<replicator::Freezer> freezer(const FreezePlan& plan) override {
        freeze_plans.push_back(plan);
        return nullptr;
    }

    Result<std::optional<std::uint64_t>> bytes_written(const std::string& path) override {
        return std::optional(disks[path].bytes_written);
    }

    Result<std::uint64_t> write_mark(const std::string& path) override {
        TRY_VOID(act("write_mark"));
        TRY_VOID(there(path));
        return disks[path].write_mark;
    }

    void wait_ms(std::int64_t) override {
        if (on_wait) on_wait();
    }

    [[nodiscard]] bool guarded(const JobId& job, Side side) const {
        return guards.contains(GuardName{job, side}.text());
    }

    [[nodiscard]] std::size_t runs_of(const std::string& hook) const {
        return static_cast<std::size_t>(std::count(hooks_run.begin(), hooks_run.end(), hook));
    }

    /// Where the first act of this name stands in `acts`; it must be there.
    [[nodiscard]] std::size_t when(const std::string& name) const {
        const auto found = std::find(acts.begin(), acts.end(), name);
        if (found == acts.end()) throw std::runtime_error(name + " was not done");
        return static_cast<std::size_t>(found - acts.begin());
    }

    /// A reboot: guards are gone, counters and flags start anew, fstab mounts what udev shows.
    void reboot(bool fstab_mounts) {
        id.boot_id += "+";
        guards.clear();
        tracking.clear();
        for (auto& [path, disk] : disks) {
            disk.read_only = false;
            disk.write_mark = 0;
            disk.bytes_written = 0;
            disk.mounted = fstab_mounts && !disk.hidden;
        }
    }

  private:
    [[nodiscard]] Result<> there(const std::string& path) const {
        if (disks.contains(path)) return {};
        return Error(Errc::not_found, "disk_not_found", path, "kept", "next");
    }

    Result<> set_hidden(const std::string& path, bool hidden) {
        TRY_VOID(act(hidden ? "hide_from_udev" : "show_to_udev"));
        TRY_VOID(there(path));
        disks[path].hidden = hidden;
        return {};
    }

    Result<> act(const std::string& name) {
        const bool once = name == fail_once;
        if (once) fail_once.clear();
        if (once || failing.contains(name))
            return Error(Errc::io, "injected", name + " failed", "kept", "next");
        acts.push_back(name);
        return {};
    }
};

}  // namespace drover::agent::testing
