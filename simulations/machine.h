/// A simulated server: disks, a workload that writes them, the kernel's and udev's state, and the
/// agent's files. Processes come and go on it; it stays.
#pragma once

#include "agent/host_ops.h"
#include "simulations/disk.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace drover::sim {

/// A database on the disks of one side of one job: writes while it runs, and its disks are mounted.
struct Workload {
    std::string name;                ///< of the job
    std::vector<std::string> disks;  ///< paths
    bool running = false;
    bool masked = false;  ///< not started at boot

    /// Whether its users reach it and may write: what "never two writers" is about.
    [[nodiscard]] bool serves() const { return running; }
};

/// What the workload of a test writes to in place of a disk: a file, or a loop device over one.
struct Overlay {
    std::string path;  ///< as the workload knows it
    std::string disk;  ///< below it
    /// What that held when the overlay was made, and whatever rotted there since.
    std::vector<Version> base;
    std::map<std::uint64_t, Version> written;
    bool is_loop = false;
    bool is_attached = true;  ///< a reboot takes loop devices
};

/// How a hook behaves the next time, then well again. In none of these cases it does anything;
/// `lies` says that it did.
enum class HookFault : std::uint8_t { none, fails, hangs, lies };

class Machine {
  public:
    /// `name`: also the root of its files, "/NAME/...".
    Machine(std::string name, Dice dice);

    /// With a stable identity made of both names.
    Disk& add_disk(const std::string& path, std::uint64_t blocks);
    [[nodiscard]] Disk* find(const std::string& path);
    [[nodiscard]] Workload* workload(const std::string& job);

    /// Power lost (each unsynced block with it, or not) or rebooted in order (everything synced):
    /// kernel state is gone, processes are not its business. A disk without identity is shown to
    /// udev again and gets a new diskseq. At boot: unmasked workloads whose disks are not hidden
    /// are mounted and started.
    void reboot(bool power_lost);
    /// The two halves of it.
    void go_down(bool power_lost);
    void come_up();
    /// The workload writes one block of one of its disks if it can: running, mounted, disk present.
    /// True if it did. BLKROSET does not stop a mounted filesystem (measured), a guard does not
    /// either: that is why the fence has to unmount.
    bool write_as_workload(const std::string& job, std::uint64_t disk_index, std::uint64_t block);
    /// Somebody with root mounts a disk by hand, writes to it and unmounts it, if no guard holds
    /// it.
    bool write_as_stray(const std::string& path, std::uint64_t block);

    /// The workload of a test, on overlays: starts if each of them is there, and writes at once, as
    /// whoever mounts a filesystem does. It is not started again at boot.
    bool start_trial(const std::string& job, const std::vector<std::string>& paths);
    void stop_trial(const std::string& job);
    /// True if it runs.
    bool write_as_trial(const std::string& job, std::uint64_t disk_index, std::uint64_t block);
    /// A bit rots below whatever lies over the disk.
    void rot(const std::string& path, std::uint64_t block);

    /// Mounts its disks and starts it, unless one of them is held, gone, read-only or hidden from
    /// udev (systemd then waits for it in vain). True if it runs.
    bool start(Workload& workload);
    /// Its disks stay mounted, as those of a stopped service do.
    void stop(Workload& workload);

    [[nodiscard]] bool is_up() const { return is_up_; }

    [[nodiscard]] Uuid draw_uuid();

    [[nodiscard]] std::string state_root() const { return "/" + name + "/state"; }

    [[nodiscard]] std::string journal_root() const { return "/" + name + "/redo"; }

    [[nodiscard]] std::string test_root() const { return "/" + name + "/tests"; }

    const std::string name;
    agent::HostIdentity identity;
    std::map<std::string, Disk> disks;
    std::map<std::string, Workload> workloads;               ///< by job name
    std::map<std::string, std::vector<std::string>> guards;  ///< by GuardName::text()
    std::set<std::string> overlay_kinds;                     ///< that its filesystems can make
    std::map<std::string, std::vector<Overlay>> overlays;    ///< by OverlayPlan::name
    std::map<std::string, std::vector<std::string>> trials;  ///< that run: overlays, by job name
    std::map<std::string, HookFault> hook_faults;            ///< by hook name
    std::vector<std::string> hooks_run;                      ///< "step name", in order
    /// Called after every write by a workload or a stray writer.
    std::function<void(Disk&, std::uint64_t block, Version before)> on_user_write;

  private:
    void boot();
    [[nodiscard]] Overlay* overlay(const std::string& path);
    bool write_as_user(Disk& disk, std::uint64_t block);

    Dice dice_;
    bool is_up_ = true;
    std::uint64_t boots_ = 0;
    std::uint64_t attachments_ = 0;
};

/// The privileged acts of an agent process on a machine. ACT is the name of the function. Steps:
/// "host.ACT" after each act that changed the machine; attempts: "host.ACT" before each act on the
/// disk's path, on the guard's name in end_guard, on the hook's name in check_hook and run_hook.
/// A killed process gets Errc::cancelled and changes nothing.
///
/// Hooks named "stop-NAME" stop and mask the workload of their job on this machine, "start-NAME"
/// unmask and start it, "check-NAME" succeed if it runs; "try-NAME" and "untry-NAME" start and stop
/// the workload of a test; others just succeed. A hanging hook takes 60 s and fails. Where the
/// options forbid eBPF the tracker is the product's scan tracker.
[[nodiscard]] std::unique_ptr<agent::HostOps> open_host(Machine& machine);

}  // namespace drover::sim
