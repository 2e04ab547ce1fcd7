// ebpf_can_track(): which hosts and disks block tracepoints can track. Every refusal says why,
// because the operator sees it as the reason for the slower scan.
#include "base/file.h"
#include "replicator/bpffs.h"
#include "replicator/diskstats.h"
#include "replicator/kernel_tracker.h"
#include "replicator/tracker.h"

#include <charconv>
#include <string>

#include <linux/capability.h>
#include <unistd.h>

namespace drover::replicator {

namespace {

Error refused(std::string why) {
    return Error(Errc::unsupported, "ebpf_unsupported", std::move(why));
}

/// The effective capabilities of this process, as a bit set.
std::uint64_t effective_capabilities() {
    const auto status = read_text("/proc/self/status", 65536);
    if (!status) return 0;
    constexpr std::string_view name = "CapEff:\t";
    const std::size_t at = status->find(name);
    if (at == std::string::npos) return 0;
    std::uint64_t bits = 0;
    std::from_chars(status->data() + at + name.size(), status->data() + status->size(), bits, 16);
    return bits;
}

bool may_trace() {
    const std::uint64_t have = effective_capabilities();
    const auto has = [have](unsigned bit) { return (have >> bit & 1) != 0; };
    return has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
}

Result<> check_host() {
    if (!may_trace()) return refused("loading BPF programs needs root (CAP_BPF and CAP_PERFMON)");
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        return refused("the kernel carries no BTF (/sys/kernel/btf/vmlinux)");
    const auto lockdown = read_text("/sys/kernel/security/lockdown", 4096);
    if (lockdown && lockdown->find("[confidentiality]") != std::string::npos)
        return refused("kernel lockdown (confidentiality) forbids tracing");
    TRY_VOID(ensure_bpffs());
    return probe_bpf();
}

/// Request-based whole disks only: block_rq_* never fires on others, and what fires there instead
/// reports split writes without their heads.
Result<> check_disk(const DeviceFacts& facts) {
    const auto attribute = [&facts](std::string_view name) {
        return disk_attribute(facts.major, facts.minor, name);
    };
    const std::filesystem::path directory = disk_directory(facts.major, facts.minor);
    const auto has = [&directory](std::string_view name) {
        return ::access((directory / name).c_str(), F_OK) == 0;
    };
    if (!has("stat")) return refused(facts.path + " is unknown to the kernel");
    if (has("partition")) return refused(facts.path + " is a partition; whole disks are tracked");
    if (has("dm"))
        return refused(facts.path + " is a device-mapper device; track the disks below it");
    if (has("md")) return refused(facts.path + " is an md array; track the disks below it");
    if (attribute("hidden") == "1")
        return refused(facts.path + " is a hidden path of a multipath disk");
    if (!has("mq"))
        return refused(facts.path +
                       " takes no block requests (a bio-based driver or a multipath head)");
    if (attribute("queue/dax") == "1")
        return refused(facts.path + " can be written past the block layer (DAX)");
    if (const std::string zoned = attribute("queue/zoned"); !zoned.empty() && zoned != "none")
        return refused(facts.path + " is a zoned disk");
    if (attribute("queue/iostats") != "1" &&
        ::access((directory / "queue/iostats").c_str(), W_OK) != 0)
        return refused("I/O accounting of " + facts.path +
                       " is off (queue/iostats) and cannot be switched on");
    return {};
}

}  // namespace

Result<> ebpf_can_track(const DeviceFacts& facts) {
    if (!facts.is_block_device) return refused(facts.path + " is not a block device");
    TRY_VOID(check_disk(facts));
    return check_host();
}

}  // namespace drover::replicator
