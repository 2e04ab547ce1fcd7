// HostOps on a simulated machine. Every act asks first whether it may happen (`permit`) and says
// afterwards that it did (`Environment::step`).
#include "base/sha256.h"
#include "replicator/scan_tracker.h"
#include "simulations/machine.h"

#include <algorithm>
#include <utility>

namespace drover::sim {
namespace {

using agent::DiskUse;
using agent::GuardName;
using agent::HookRun;
using agent::OverlayPlan;

constexpr Micros hook_timeout = 60'000'000;

Error busy(const std::string& detail) {
    return Error(Errc::unavailable, "disk_busy", detail, "the disk and everything on it",
                 "stop what holds it, then retry the step");
}

Error missing(const std::string& path) {
    return Error(Errc::not_found, "disk_not_found", path + " does not exist", "nothing was changed",
                 "attach the disk, or correct the path in the plan");
}

void did(std::string_view act) {
    Environment::current().step(act);
}

/// May the calling process do this now?
Result<> permit(std::string_view act, const std::string& path) {
    if (!caller_is_alive()) return Error(Errc::cancelled, "file_error", "the process is dead");
    return Environment::current().attempt(act, path);
}

class SimulatedHost final : public agent::HostOps {
  public:
    explicit SimulatedHost(Machine& machine)
        : machine_(machine) {}

    [[nodiscard]] const agent::HostIdentity& identity() const override { return machine_.identity; }

    [[nodiscard]] Result<agent::HostDisk> look_up(const std::string& path) override;
    [[nodiscard]] Result<std::unique_ptr<replicator::BlockDevice>> open_disk(
        const std::string& path, replicator::Access access) override;
    [[nodiscard]] Result<std::unique_ptr<replicator::ChangeTracker>> attach_tracker(
        replicator::BlockDevice& device, const replicator::TrackerOptions& options,
        std::string* why_not_ebpf) override;

    [[nodiscard]] Result<> can_track_blocks(const replicator::DeviceFacts& facts) override {
        return permit("host.can_track_blocks", facts.path);
    }

    /// Its disks have no filesystems.
    [[nodiscard]] Result<replicator::FreeSpace> free_space(replicator::BlockDevice&) override {
        return replicator::FreeSpace{};
    }

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

    [[nodiscard]] Result<> hide_from_udev(const std::string& path) override {
        return set_hidden("host.hide_from_udev", path, true);
    }

    [[nodiscard]] Result<> show_to_udev(const std::string& path) override {
        return set_hidden("host.show_to_udev", path, false);
    }

    [[nodiscard]] Result<Hash> check_hook(const std::string& name) override;
    [[nodiscard]] Result<> run_hook(const HookRun& run) override;

    [[nodiscard]] Result<> can_overlay(const OverlayPlan& plan) override;
    [[nodiscard]] Result<std::vector<std::string>> make_overlays(const OverlayPlan& plan) override;
    [[nodiscard]] Result<> remove_overlays(const OverlayPlan& plan) override;

    /// Nobody here seals points.
    [[nodiscard]] std::shared_ptr<replicator::Freezer> freezer(const agent::FreezePlan&) override {
        return nullptr;
    }

    [[nodiscard]] Result<std::optional<std::uint64_t>> bytes_written(
        const std::string& path) override;
    [[nodiscard]] Result<std::uint64_t> write_mark(const std::string& path) override;

    void wait_ms(std::int64_t milliseconds) override {
        Scheduler::current().sleep(milliseconds * 1000);
    }

  private:
    /// The disk that the act is about. Errors: not_found, cancelled, what is injected.
    [[nodiscard]] Result<Disk*> disk_for(std::string_view act, const std::string& path);
    [[nodiscard]] const Workload* running_on(const std::string& path) const;
    [[nodiscard]] bool holds(const GuardName& name, const std::vector<std::string>& disks);
    [[nodiscard]] Result<> set_hidden(std::string_view act, const std::string& path, bool hidden);
    /// What the hook's program does; false if it ends with an error.
    [[nodiscard]] bool run_program(const HookRun& run);

    Machine& machine_;
};

// ---- disks ----

Result<Disk*> SimulatedHost::disk_for(std::string_view act, const std::string& path) {
    TRY_VOID(permit(act, path));
    Disk* const disk = machine_.find(path);
    if (disk == nullptr || !disk->present) return missing(path);
    return disk;
}

Result<agent::HostDisk> SimulatedHost::look_up(const std::string& path) {
    TRY(Disk* const disk, disk_for("host.look_up", path));
    agent::HostDisk found;
    found.facts = open_simulated(*disk, replicator::Access::read_only)->facts();
    found.diskseq = disk->diskseq;
    return found;
}

Result<std::unique_ptr<replicator::BlockDevice>> SimulatedHost::open_disk(
    const std::string& path, replicator::Access access) {
    TRY(Disk* const disk, disk_for("host.open_disk", path));
    if (disk->read_only && access == replicator::Access::read_write)
        return Error(Errc::denied, "file_error", "open " + path + ": it is read-only");
    return open_simulated(*disk, access);
}

Result<std::unique_ptr<replicator::ChangeTracker>> SimulatedHost::attach_tracker(
    replicator::BlockDevice& device, const replicator::TrackerOptions& options,
    std::string* why_not_ebpf) {
    TRY(Disk* const disk, disk_for("host.attach_tracker", device.facts().path));
    if (!options.allow_ebpf) {
        if (why_not_ebpf != nullptr) *why_not_ebpf = "switched off by configuration";
        return replicator::ScanTracker::open(device, options);
    }
    auto tracker = track_simulated(*disk, options.job, machine_.draw_uuid());
    did("host.attach_tracker");
    return tracker;
}

const Workload* SimulatedHost::running_on(const std::string& path) const {
    for (const auto& [job, workload] : machine_.workloads)
        if (workload.running &&
            std::find(workload.disks.begin(), workload.disks.end(), path) != workload.disks.end())
            return &workload;
    return nullptr;
}

Result<std::vector<DiskUse>> SimulatedHost::uses(const std::string& path) {
    TRY(const Disk* const disk, disk_for("host.uses", path));
    std::vector<DiskUse> found;
    if (disk->mounted) found.push_back({DiskUse::Kind::mount, path + " is mounted at /srv" + path});
    if (const Workload* const writer = running_on(path))
        found.push_back({DiskUse::Kind::writer, "the workload " + writer->name + " writes it"});
    return found;
}

Result<std::vector<std::string>> SimulatedHost::own_files_on(const std::string& path) {
    TRY(const Disk* const disk, disk_for("host.own_files_on", path));
    std::vector<std::string> found;
    if (disk->root) found.emplace_back("the root filesystem");
    return found;
}

Result<> SimulatedHost::check_blank(const std::string& path) {
    TRY(const Disk* const disk, disk_for("host.check_blank", path));
    const std::vector<Version>& blocks = disk->now();
    if (std::all_of(blocks.begin(), blocks.end(), [](Version version) { return version == 0; }))
        return {};
    return Error(Errc::conflict, "target_not_blank", path + " holds data",
                 "everything on it, nothing was written",
                 "expose another disk, or override with its identity on that host");
}

Result<> SimulatedHost::unmount(const std::string& path) {
    TRY(Disk* const disk, disk_for("host.unmount", path));
    if (!disk->mounted) return {};
    if (const Workload* const user = running_on(path))
        return busy("/srv" + path + " cannot be unmounted: held by " + user->name);
    disk->flush();
    disk->mounted = false;
    did("host.unmount");
    return {};
}

Result<> SimulatedHost::swap_off(const std::string& path) {
    TRY_VOID(disk_for("host.swap_off", path));
    return {};
}

Result<> SimulatedHost::set_read_only(const std::string& path, bool read_only) {
    TRY(Disk* const disk, disk_for("host.set_read_only", path));
    if (read_only) disk->flush();
    disk->read_only = read_only;
    did("host.set_read_only");
    return {};
}

Result<> SimulatedHost::set_hidden(std::string_view act, const std::string& path, bool hidden) {
    TRY(Disk* const disk, disk_for(act, path));
    disk->hidden = hidden;
    did(act);
    return {};
}

Result<std::optional<std::uint64_t>> SimulatedHost::bytes_written(const std::string& path) {
    TRY(const Disk* const disk, disk_for("host.bytes_written", path));
    return std::optional(disk->writes * replicator::block_bytes);
}

Result<std::uint64_t> SimulatedHost::write_mark(const std::string& path) {
    TRY(const Disk* const disk, disk_for("host.write_mark", path));
    return disk->write_mark;
}

// ---- guards ----

bool SimulatedHost::holds(const GuardName& name, const std::vector<std::string>& disks) {
    const auto guard = machine_.guards.find(name.text());
    return guard != machine_.guards.end() && guard->second == disks;
}

Result<> SimulatedHost::hold_guard(const GuardName& name, const std::vector<std::string>& disks) {
    const std::string holder = name.text();
    std::vector<Disk*> wanted;
    for (const std::string& path : disks) {
        TRY(Disk* const disk, disk_for("host.hold_guard", path));
        wanted.push_back(disk);
    }
    if (holds(name, disks)) return {};
    if (machine_.guards.contains(holder)) return busy("the guard " + holder + " holds other disks");
    for (const Disk* const disk : wanted) {
        if (disk->mounted) return busy(disk->path + " is mounted");
        if (!disk->guard.empty()) return busy(disk->path + " is held by " + disk->guard);
    }
    for (Disk* const disk : wanted) disk->guard = holder;
    machine_.guards[holder] = disks;
    did("host.hold_guard");
    return {};
}

Result<bool> SimulatedHost::guard_held(const GuardName& name,
                                       const std::vector<std::string>& disks) {
    for (const std::string& path : disks) TRY_VOID(disk_for("host.guard_held", path));
    return holds(name, disks);
}

Result<> SimulatedHost::end_guard(const GuardName& name) {
    const std::string holder = name.text();
    TRY_VOID(permit("host.end_guard", holder));
    if (machine_.guards.erase(holder) == 0) return {};
    for (auto& [path, disk] : machine_.disks)
        if (disk.guard == holder) disk.guard.clear();
    did("host.end_guard");
    return {};
}

// ---- overlays ----

Result<> SimulatedHost::can_overlay(const OverlayPlan& plan) {
    for (const std::string& path : plan.disks) TRY_VOID(disk_for("host.can_overlay", path));
    if (machine_.overlay_kinds.contains(plan.kind)) return {};
    return Error(Errc::unsupported, "overlay_unsupported", "no " + plan.kind + " overlay");
}

/// One after the other: a crash leaves some of them.
Result<std::vector<std::string>> SimulatedHost::make_overlays(const OverlayPlan& plan) {
    TRY_VOID(remove_overlays(plan));
    std::vector<std::string> paths;
    for (const std::string& path : plan.disks) {
        TRY(const Disk* const disk, disk_for("host.make_overlays", path));
        const std::string file = plan.name + "-" + std::to_string(paths.size()) + "." + plan.kind;
        paths.push_back((plan.directory / file).native());
        const bool is_loop = plan.kind == "reflink";
        machine_.overlays[plan.name].push_back(
            {paths.back(), path, disk->now(), {}, is_loop, true});
        did("host.make_overlays");
    }
    return paths;
}

Result<> SimulatedHost::remove_overlays(const OverlayPlan& plan) {
    TRY_VOID(permit("host.remove_overlays", plan.directory.native()));
    const auto found = machine_.overlays.find(plan.name);
    if (found == machine_.overlays.end()) return {};
    std::vector<Overlay>& layers = found->second;
    for (const auto& [job, paths] : machine_.trials)
        for (const std::string& path : paths)
            if (std::ranges::count(layers, path, &Overlay::path) > 0)
                return busy("the test's " + path + " is in use by the workload of " + job);
    while (!layers.empty()) {
        layers.pop_back();
        did("host.remove_overlays");
    }
    machine_.overlays.erase(found);
    return {};
}

// ---- hooks ----

Result<Hash> SimulatedHost::check_hook(const std::string& name) {
    TRY_VOID(permit("host.check_hook", name));
    return sha256(as_bytes(name));
}

bool SimulatedHost::run_program(const HookRun& run) {
    Workload* const workload = machine_.workload(run.job_name);
    const std::string& name = run.hook.name;
    if (name.starts_with("stop-")) {
        if (workload == nullptr) return true;
        machine_.stop(*workload);
        workload->masked = true;
        return true;
    }
    if (name.starts_with("start-")) {
        if (workload == nullptr) return false;
        workload->masked = false;
        return machine_.start(*workload);
    }
    if (name.starts_with("try-")) return machine_.start_trial(run.job_name, run.test_disks);
    if (name.starts_with("untry-")) machine_.stop_trial(run.job_name);
    if (name.starts_with("check-")) return workload != nullptr && workload->running;
    return true;
}

Result<> SimulatedHost::run_hook(const HookRun& run) {
    const std::string& name = run.hook.name;
    TRY_VOID(permit("host.run_hook", name));
    const std::string step(name_of(run.step));
    if (sha256(as_bytes(name)) != run.hook.sha256)
        return Error(
            Errc::conflict, "hook_changed",
            "hook " + name + " (" + step + ") is not the file that the plan was approved with",
            "nothing was run, the step was not completed",
            "put the approved file back and retry, or cancel and plan the job again");
    machine_.hooks_run.push_back(step + " " + name);
    const auto planned = machine_.hook_faults.extract(name);
    const HookFault fault = planned.empty() ? HookFault::none : planned.mapped();
    if (fault == HookFault::lies) return {};
    if (fault == HookFault::hangs) {
        Scheduler::current().sleep(hook_timeout);
        return Error(Errc::timed_out, "hook_timed_out", "hook " + name + " did not end within 60 s",
                     "the step was not completed; the hook was killed",
                     "make the hook quicker or raise hook_limits.timeout_s, then retry");
    }
    const bool succeeded = fault != HookFault::fails && run_program(run);
    did("host.run_hook");
    if (succeeded) return {};
    return Error(Errc::io, "hook_failed", "hook " + name + " (" + step + ") exited with 1",
                 "the step was not completed",
                 "read the hook's output in the agent's log, correct the cause, then retry");
}

}  // namespace

std::unique_ptr<agent::HostOps> open_host(Machine& machine) {
    return std::make_unique<SimulatedHost>(machine);
}

}  // namespace drover::sim
