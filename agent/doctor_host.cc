// What the facts of a host mean for replication.
#include "agent/doctor.h"

#include <array>
#include <cstdio>

#include <linux/capability.h>

namespace drover::agent {
namespace {

constexpr std::uint64_t mib = 1U << 20;
/// For the journal of what was done, fences and a job's records; its maps come on top, by disk.
constexpr std::uint64_t state_bytes_min = 64 * mib;
constexpr std::uint64_t state_bytes_enough = 512 * mib;
/// 2024-01-01: a clock before it was never set, and no certificate of ours is valid then.
constexpr std::int64_t clock_micros_min = 1'704'067'200'000'000;
constexpr const char* by_scan =
    "changes are found by the scan tracker: each pass reads whole disks";

struct Version {
    int major = 0;
    int minor = 0;

    auto operator<=>(const Version&) const = default;
};

constexpr Version kernel_of_tracker{5, 17};   // bpf_loop
constexpr Version kernel_of_counters{4, 18};  // sectors of discards
constexpr Version kernel_of_memcg{5, 11};     // BPF maps stopped counting as locked memory

Version version_of(const std::string& release) {
    Version version;
    if (std::sscanf(release.c_str(), "%d.%d", &version.major, &version.minor) != 2) return {};
    return version;
}

struct Capability {
    unsigned bit;
    const char* name;
    const char* purpose;
};

/// As in packaging/drover-agent.service.
constexpr std::array needed{
    Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "open, unmount and fence disks"},
    Capability{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "find who holds a disk"},
    Capability{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "read and write disks"},
    Capability{CAP_KILL, "CAP_KILL", "end a hook that takes too long"},
};

Check check_config(const HostFacts& facts) {
    if (facts.config_refused)
        return {"config", Health::failed, facts.config_refused->detail(),
                "the agent does not start", facts.config_refused->next()};
    if (!facts.is_configured)
        return {"config", Health::warning, "there is no configuration file",
                "the rest is said of a host with the defaults",
                "write it as operations.md shows, then enroll; or name it with --config"};
    std::string roles = facts.config.is_source ? "source" : "";
    if (facts.config.is_target) roles += roles.empty() ? "target" : ", target";
    return {"config", Health::ok, facts.config.name + ": " + roles, {}, {}};
}

Check check_rights(const HostFacts& facts) {
    std::string lacking;
    for (const Capability& one : needed) {
        if ((facts.tracing.capabilities >> one.bit & 1) != 0) continue;
        lacking += (lacking.empty() ? "" : ", ") + std::string(one.name) + " (" + one.purpose + ")";
    }
    if (lacking.empty()) return {"rights", Health::ok, "all capabilities that are needed", {}, {}};
    return {"rights", Health::failed, "this process lacks " + lacking,
            "neither a source nor a target works",
            "run it as root, outside a container that takes capabilities away"};
}

Check check_kernel(const HostFacts& facts) {
    const Version version = version_of(facts.kernel);
    if (version < kernel_of_counters)
        return {"kernel", Health::failed, "Linux " + facts.kernel,
                "before 4.18 the kernel does not count what is discarded: a fence cannot be proved",
                "use Linux 5.17 or newer"};
    if (version < kernel_of_tracker)
        return {"kernel", Health::warning, "Linux " + facts.kernel,
                std::string("before 5.17 block tracepoints cannot be used; ") + by_scan,
                "use Linux 5.17 or newer for large or busy disks"};
    return {"kernel", Health::ok, "Linux " + facts.kernel, {}, {}};
}

Check check_btf(const HostFacts& facts) {
    if (facts.tracing.has_btf) return {"btf", Health::ok, "/sys/kernel/btf/vmlinux", {}, {}};
    return {"btf", Health::warning, "the kernel carries no BTF (/sys/kernel/btf/vmlinux)", by_scan,
            "use a kernel with CONFIG_DEBUG_INFO_BTF, as the distributions' kernels have it"};
}

Check check_bpffs(const HostFacts& facts) {
    switch (facts.tracing.bpffs) {
        case replicator::Bpffs::writable:
            return {"bpffs", Health::ok, "/sys/fs/bpf is mounted and can be written", {}, {}};
        case replicator::Bpffs::absent:
            return {"bpffs",
                    Health::ok,
                    "/sys/fs/bpf is not mounted",
                    "the agent mounts it when it tracks the first disk",
                    {}};
        case replicator::Bpffs::read_only:
            break;
    }
    return {"bpffs", Health::warning, "/sys/fs/bpf cannot be written", by_scan,
            "mount it writable: mount -o remount,rw /sys/fs/bpf"};
}

Check check_lockdown(const HostFacts& facts) {
    const std::string& state = facts.tracing.lockdown;
    if (state == "confidentiality")
        return {"lockdown", Health::warning, "kernel lockdown: confidentiality",
                std::string("it forbids tracing; ") + by_scan,
                "start the kernel with lockdown=integrity if that is allowed here"};
    return {"lockdown", Health::ok, state.empty() ? "the kernel has none" : state, {}, {}};
}

Check check_attach(const HostFacts& facts) {
    if (const auto allowed = replicator::tracing_allowed(facts.tracing); !allowed)
        return {"tracepoints", Health::warning, "not tried: " + allowed.error().detail(), by_scan,
                "correct what is named above"};
    if (facts.attach_refused)
        return {"tracepoints", Health::warning, facts.attach_refused->detail(), by_scan,
                "look into the kernel log; a security module may forbid BPF"};
    if (!facts.config.allow_ebpf)
        return {"tracepoints", Health::ok, "they work, but agent.toml says tracker.kind = \"scan\"",
                by_scan, "remove that line to use them"};
    return {"tracepoints",
            Health::ok,
            "both programs were loaded, attached and taken away again",
            {},
            {}};
}

Check check_memlock(const HostFacts& facts) {
    constexpr std::uint64_t unlimited = ~std::uint64_t{0};
    if (facts.memlock_bytes == unlimited) return {"memlock", Health::ok, "no limit", {}, {}};
    const std::string limit = std::to_string(facts.memlock_bytes / 1024) + " KiB";
    if (version_of(facts.kernel) >= kernel_of_memcg)
        return {"memlock", Health::ok, limit, "this kernel does not count BPF maps", {}};
    return {"memlock", Health::warning, limit, by_scan,
            "LimitMEMLOCK=infinity in the service, as drover-agent.service has it"};
}

Check check_state(const HostFacts& facts) {
    const std::string path = facts.config.state.native();
    if (!facts.state_writable)
        return {"state", Health::failed, path + " cannot be written",
                "no job runs: its fence and its journal live there",
                "make it a directory of root on a local file system"};
    if (facts.state_not_durable)
        return {"state", Health::failed, facts.state_not_durable->detail(),
                "a fence would be forgotten at a power cut",
                "name another directory as \"state\" in agent.toml"};
    return {"state", Health::ok, path + (facts.state_exists ? "" : " (will be made)"), {}, {}};
}

Check check_space(const HostFacts& facts) {
    const std::string found = std::to_string(facts.state_free_bytes / mib) + " MiB free for " +
                              facts.config.state.native();
    const std::string why = "the journal of what was done, and for fences";
    if (facts.state_free_bytes < state_bytes_min)
        return {"space", Health::failed, found, "no room for " + why, "make room there"};
    if (facts.state_free_bytes < state_bytes_enough)
        return {"space", Health::warning, found, "little room for " + why, "make room there"};
    return {"space", Health::ok, found, {}, {}};
}

Check check_clock(const HostFacts& facts) {
    if (facts.wall_micros < clock_micros_min)
        return {"clock", Health::failed, "the clock stands before 2024",
                "certificates and tickets are not valid yet: no connection comes about",
                "set it, and run a time service"};
    if (!facts.clock_synchronised)
        return {"clock", Health::warning, "no time service keeps the clock",
                "times in the evidence may be wrong; order and safety do not rest on them",
                "run chrony or systemd-timesyncd"};
    return {"clock", Health::ok, "kept by a time service", {}, {}};
}

void add_hooks(const HostFacts& facts, std::vector<Check>& checks) {
    for (const HookFinding& hook : facts.hooks) {
        const std::string name = "hook " + hook.name;
        if (!hook.refused) {
            checks.push_back({name, Health::ok, hook.path, {}, {}});
            continue;
        }
        checks.push_back({name, Health::failed, hook.refused->detail(),
                          "a job that names this hook is refused", hook.refused->next()});
    }
}

}  // namespace

bool HostFacts::traces() const {
    return replicator::tracing_allowed(tracing).has_value() && !attach_refused;
}

std::vector<Check> judge_host(const HostFacts& facts) {
    std::vector<Check> checks{check_config(facts),
                              check_rights(facts),
                              check_kernel(facts),
                              check_btf(facts),
                              check_bpffs(facts),
                              check_lockdown(facts),
                              check_attach(facts),
                              check_memlock(facts),
                              {"io_uring", Health::ok, "not used, nothing to allow", {}, {}},
                              check_state(facts),
                              check_space(facts),
                              check_clock(facts)};
    add_hooks(facts, checks);
    return checks;
}

}  // namespace drover::agent
