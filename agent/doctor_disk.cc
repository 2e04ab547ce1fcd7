// What the facts of one disk mean for replication.
#include "agent/doctor.h"
#include "agent/mounts.h"
#include "replicator/block_map.h"

#include <algorithm>

namespace drover::agent {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::size_t shown_max = 5;
/// Of a disk that does nothing else, for the estimate of what a scan costs.
constexpr std::uint64_t scan_bytes_per_s = 500 * mib;
constexpr std::uint32_t block_sector_max = 4096;

/// At most three digits, but for TiB.
std::string size_text(std::uint64_t bytes) {
    constexpr std::uint64_t kib = 1024;
    if (bytes < 1000 * kib) return std::to_string(bytes / kib) + " KiB";
    if (bytes < 1000 * mib) return std::to_string(bytes / mib) + " MiB";
    return std::to_string(bytes / (1024 * mib)) + " GiB";
}

std::string kind_text(const DiskView& disk) {
    if (!disk.facts.is_block_device) return "image file";
    const std::string& name = disk.kernel_name;
    const std::pair<const char*, const char*> kinds[] = {
        {"vd", "virtio disk"},        {"nvme", "NVMe disk"},   {"sd", "SCSI disk"},
        {"xvd", "Xen disk"},          {"loop", "loop device"}, {"nbd", "NBD disk"},
        {"zram", "compressed memory"}};
    for (const auto& [prefix, text] : kinds)
        if (name.starts_with(prefix)) return text + (" " + name);
    return "disk " + name;
}

std::string scan_cost(const DiskView& disk) {
    const std::uint64_t seconds = disk.facts.size_bytes / scan_bytes_per_s + 1;
    return "each pass reads all " + size_text(disk.facts.size_bytes) + ", about " +
           std::to_string(seconds) + " s at 500 MiB/s, at most a quarter of the time";
}

Check check_size(const DiskView& disk) {
    const replicator::DeviceFacts& facts = disk.facts;
    if (facts.size_bytes == 0)
        return {"size", Health::failed, kind_text(disk) + " without capacity",
                "there is nothing to copy", "attach a medium, or name another disk"};
    return {"size",
            Health::ok,
            kind_text(disk) + ", " + size_text(facts.size_bytes) + " (" +
                std::to_string(facts.size_bytes) + " bytes)",
            "the target must have at least this size; do not resize it while a job runs",
            {}};
}

Check check_sectors(const DiskView& disk) {
    const std::uint32_t logical = disk.facts.sector_bytes;
    std::string found = "sectors of " + std::to_string(logical) + " bytes";
    if (disk.physical_sector_bytes > logical)
        found += ", " + std::to_string(disk.physical_sector_bytes) + " physical";
    if (logical > block_sector_max)
        return {"sectors", Health::failed, found, "changes are tracked in blocks of 4096 bytes",
                "use a disk with sectors of at most 4096 bytes"};
    if (logical > 512)
        return {"sectors",
                Health::ok,
                found,
                "a target with larger sectors must still end where this disk ends",
                {}};
    return {"sectors", Health::ok, found, {}, {}};
}

Check check_identity(const DiskView& disk) {
    if (!disk.facts.identity.empty()) return {"identity", Health::ok, disk.facts.identity, {}, {}};
    return {"identity", Health::warning, "neither a wwid nor a serial",
            "another disk under this name is noticed only within one boot; a target is exposed "
            "again after each",
            "give the disk a serial in the hypervisor if it has one"};
}

Check check_own(const DiskView& disk) {
    if (disk.own_files.empty()) return {"own", Health::ok, "nothing of this host itself", {}, {}};
    return {"own", Health::failed, "carries " + joined(disk.own_files, shown_max),
            "a job with this disk is refused (root_disk)",
            "move the whole server from a landing environment; for data disks, name another disk, "
            "and keep the agent's state off them"};
}

Check check_writable(const DiskView& disk) {
    if (!disk.is_read_only) return {"read_only", Health::ok, "writable", {}, {}};
    return {"read_only", Health::warning, "the kernel has it read-only",
            "a source can be copied; a target cannot; it may also stand behind a fence",
            "drover-agent status shows fences; otherwise blockdev --setrw"};
}

/// The tracker's audit and the fence's proof rest on the kernel's counters.
Check check_accounting(const DiskView& disk, const std::string& tracker) {
    if (disk.accounting_on) return {"iostats", Health::ok, "the kernel counts its sectors", {}, {}};
    const std::string repair = "echo 1 > /sys/block/" + disk.kernel_name + "/queue/iostats";
    if (tracker != "ebpf")
        return {"iostats", Health::warning, "queue/iostats is 0",
                "the agent switches it on at the fence: that nothing writes there is proved by it. "
                "After a reboot of a fenced source, writes are noticed only from then on",
                repair + ", and see to it that it stays so after a reboot"};
    return {"iostats", Health::warning, "queue/iostats is 0",
            "the agent switches it on: the audit of the tracker needs it. Switched off while a job "
            "runs, the whole disk is compared",
            repair + ", and find what switches it off"};
}

Check check_tracker(const HostFacts& host, const DiskView& disk, const std::string& tracker) {
    if (tracker == "ebpf")
        return {"tracker", Health::ok, "changes are tracked by block tracepoints", {}, {}};
    const std::string why = disk.not_covered ? disk.not_covered->detail()
                            : !host.config.allow_ebpf
                                ? "agent.toml says tracker.kind = \"scan\""
                                : "block tracepoints do not work on this host";
    const bool asked_for = !disk.not_covered && !host.config.allow_ebpf;
    return {"tracker", asked_for ? Health::ok : Health::warning, "scan tracker: " + why,
            scan_cost(disk),
            disk.not_covered ? "for a large or busy disk, name a whole disk with block requests"
                             : "see the checks of the host"};
}

/// The maps of a source disk: four in the state directory, and three in the kernel or, for a scan,
/// one more and 16 bytes for each 64 KiB.
Check check_maps(const HostFacts& host, const DiskView& disk, const std::string& tracker) {
    const std::uint64_t map = disk.facts.size_bytes / (8 * replicator::block_bytes);
    const bool scans = tracker != "ebpf";
    const std::uint64_t files = 4 * map + (scans ? map + disk.facts.size_bytes / 4096 : 0);
    std::string found = "as a source " + size_text(files) + " in the state directory";
    if (!scans) found += ", " + size_text(3 * map) + " of kernel memory";
    if (files <= host.state_free_bytes) return {"maps", Health::ok, found, {}, {}};
    return {"maps", Health::failed,
            found + ", where " + size_text(host.state_free_bytes) + " are free",
            "the job cannot note what is on its way", "make room for the agent's state"};
}

std::string names_of(const std::vector<std::string>& names) {
    return joined(names, shown_max);
}

Check check_partitions(const DiskView& disk) {
    if (disk.partitions.empty()) return {"partitions", Health::ok, "none", {}, {}};
    return {"partitions",
            Health::ok,
            names_of(disk.partitions),
            "covered: they move with the whole disk",
            {}};
}

/// One volume above the disk: whole only if every disk below it moves.
Check check_above(const StackedDevice& above, const std::vector<std::string>& named) {
    std::vector<std::string> missing;
    for (const std::string& disk : above.disks)
        if (std::ranges::find(named, disk) == named.end()) missing.push_back("/dev/" + disk);
    const std::string found = above.kind + " " + above.name;
    if (!missing.empty())
        return {"above", Health::warning, found + " lies also on " + names_of(missing),
                "its content is whole on the target only if these disks move in the same job",
                "name them all in the job; check them together with --disk"};
    return {"above", Health::ok, found, "covered by the disks below it", {}};
}

void add_uses(const DiskView& disk, std::vector<Check>& checks) {
    if (disk.uses_unknown)
        checks.push_back({"uses", Health::failed, disk.uses_unknown->detail(),
                          "a disk whose users are unknown is not fenced",
                          disk.uses_unknown->next()});
    std::vector<std::string> held;
    std::vector<std::string> used;
    for (const DiskUse& use : disk.uses)
        (use.kind == DiskUse::Kind::holder ? held : used).push_back(use.detail);
    if (!used.empty())
        checks.push_back({"uses",
                          Health::ok,
                          names_of(used),
                          "as a source: unmounted at the fence, writers must have ended by then; "
                          "as a target: refused (target_in_use)",
                          {}});
    if (!held.empty())
        checks.push_back({"holders", Health::warning, names_of(held),
                          "the fence refuses a disk that is held; so does a target",
                          "let the pre-fence hook deactivate it"});
    if (used.empty() && held.empty() && !disk.uses_unknown)
        checks.push_back({"uses", Health::ok, "nobody uses it", {}, {}});
}

std::string tracker_of(const HostFacts& host, const DiskView& disk) {
    return host.traces() && host.config.allow_ebpf && !disk.not_covered ? "ebpf" : "scan";
}

}  // namespace

DiskReport judge_disk(const HostFacts& host, const DiskView& disk,
                      const std::vector<std::string>& named) {
    DiskReport report;
    report.path = disk.path;
    if (disk.unusable) {
        report.checks.push_back({"disk", Health::failed, disk.unusable->detail(),
                                 "it cannot be part of a job", disk.unusable->next()});
        return report;
    }
    report.tracker = tracker_of(host, disk);
    report.checks = {check_size(disk),
                     check_sectors(disk),
                     check_identity(disk),
                     check_own(disk),
                     check_writable(disk),
                     check_tracker(host, disk, report.tracker),
                     check_maps(host, disk, report.tracker)};
    if (disk.facts.is_block_device) {
        report.checks.push_back(check_accounting(disk, report.tracker));
        report.checks.push_back(check_partitions(disk));
    }
    for (const StackedDevice& above : disk.above)
        report.checks.push_back(check_above(above, named));
    add_uses(disk, report.checks);
    return report;
}

}  // namespace drover::agent
