#include "replicator/ebpf_host.h"

#include "base/file.h"
#include "replicator/diskstats.h"

#include <charconv>

#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace drover::replicator {

namespace {

Error refused(std::string why) {
    return Error(Errc::unsupported, "ebpf_unsupported", std::move(why));
}

std::uint64_t effective_capabilities(const std::filesystem::path& root) {
    const auto status = read_text(root / "proc/self/status", 65536);
    if (!status) return 0;
    constexpr std::string_view name = "CapEff:\t";
    const std::size_t at = status->find(name);
    if (at == std::string::npos) return 0;
    std::uint64_t bits = 0;
    std::from_chars(status->data() + at + name.size(), status->data() + status->size(), bits, 16);
    return bits;
}

/// The word in brackets of "none [integrity] confidentiality".
std::string chosen_word(const std::filesystem::path& file) {
    const auto text = read_text(file, 4096);
    if (!text) return {};
    const std::size_t open = text->find('[');
    const std::size_t close = text->find(']');
    if (open == std::string::npos || close == std::string::npos || close < open) return {};
    return text->substr(open + 1, close - open - 1);
}

Bpffs bpffs_at(const std::filesystem::path& path) {
    struct statfs facts {};

    if (::statfs(path.c_str(), &facts) != 0 || facts.f_type != BPF_FS_MAGIC) return Bpffs::absent;
    return ::access(path.c_str(), W_OK) == 0 ? Bpffs::writable : Bpffs::read_only;
}

}  // namespace

bool TracingHost::may_trace() const {
    const auto has = [this](unsigned bit) { return (capabilities >> bit & 1) != 0; };
    return has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
}

TracingHost look_at_tracing(const std::filesystem::path& root) {
    TracingHost host;
    host.capabilities = effective_capabilities(root);
    host.has_btf = ::access((root / "sys/kernel/btf/vmlinux").c_str(), R_OK) == 0;
    host.lockdown = chosen_word(root / "sys/kernel/security/lockdown");
    host.bpffs = bpffs_at(root / "sys/fs/bpf");
    return host;
}

Result<> tracing_allowed(const TracingHost& host) {
    if (!host.may_trace())
        return refused("loading BPF programs needs root (CAP_BPF and CAP_PERFMON)");
    if (!host.has_btf) return refused("the kernel carries no BTF (/sys/kernel/btf/vmlinux)");
    if (host.lockdown == "confidentiality")
        return refused("kernel lockdown (confidentiality) forbids tracing");
    if (host.bpffs == Bpffs::read_only)
        return refused("the BPF file system at /sys/fs/bpf cannot be written");
    return {};
}

Result<> tracepoints_cover(const DeviceFacts& facts, const std::filesystem::path& root) {
    if (!facts.is_block_device) return refused(facts.path + " is not a block device");
    const std::filesystem::path directory =
        root / disk_directory(facts.major, facts.minor).relative_path();
    const auto has = [&directory](std::string_view name) {
        return ::access((directory / name).c_str(), F_OK) == 0;
    };
    const auto attribute = [&directory](std::string_view name) {
        return first_line(directory / name);
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

}  // namespace drover::replicator
