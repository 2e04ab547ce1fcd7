/// What of drover works on this host and why not, for `drover-agent doctor`. Facts are gathered in
/// doctor_look.h, which changes nothing; what they mean is decided here, by pure functions.
///
///   look_at_host, look_at_disk ─► HostFacts, DiskView ─► judge_host, judge_disk ─► Check ─► text
#pragma once

#include "agent/block_nodes.h"
#include "agent/config.h"
#include "replicator/ebpf_host.h"

#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

enum class Health : std::uint8_t {
    ok,
    warning,  ///< works, but slower or with something to know
    failed    ///< a job would be refused or could not be trusted
};

[[nodiscard]] std::string_view health_text(Health health);

struct Check {
    std::string name;  ///< stable: scripts may look for it
    Health health = Health::ok;
    std::string found;  ///< what is there
    std::string means;  ///< for replication; empty if nothing
    std::string next;   ///< what to do; empty if nothing
};

struct HookFinding {
    std::string name;
    std::string path;
    std::optional<Error> refused;
};

struct HostFacts {
    std::optional<Error> config_refused;
    bool is_configured = false;
    Config config;  ///< defaults without a configuration file

    std::string kernel;  ///< release, "6.1.0-18-amd64"
    replicator::TracingHost tracing;
    std::optional<Error> attach_refused;  ///< by trying; only if tracing is allowed otherwise
    std::uint64_t memlock_bytes = 0;      ///< RLIMIT_MEMLOCK; all ones: no limit

    bool state_exists = false;  ///< else what follows is said of its nearest parent
    bool state_writable = false;
    std::optional<Error> state_not_durable;
    std::uint64_t state_free_bytes = 0;

    bool clock_synchronised = false;
    std::int64_t wall_micros = 0;
    std::vector<HookFinding> hooks;

    /// Block tracepoints work on this host, as far as it is concerned.
    [[nodiscard]] bool traces() const;
};

struct DiskView {
    std::string path;
    std::optional<Error> unusable;  ///< then nothing else is known
    replicator::DeviceFacts facts;
    std::string kernel_name;  ///< "sda"; empty for an image file
    std::uint32_t physical_sector_bytes = 0;
    bool is_read_only = false;
    bool accounting_on = true;
    std::optional<Error> not_covered;  ///< by block tracepoints
    std::vector<std::string> partitions;
    std::vector<StackedDevice> above;
    std::vector<DiskUse> uses;
    std::vector<std::string> own_files;
    std::optional<Error> uses_unknown;
};

struct DiskReport {
    std::string path;
    std::string tracker;  ///< "ebpf", "scan", or empty if the disk cannot be used
    std::vector<Check> checks;
};

struct DoctorReport {
    std::vector<Check> host;
    std::vector<DiskReport> disks;

    [[nodiscard]] std::size_t count(Health health) const;
};

[[nodiscard]] std::vector<Check> judge_host(const HostFacts& facts);
/// `named`: kernel names of all disks that were asked about.
[[nodiscard]] DiskReport judge_disk(const HostFacts& host, const DiskView& disk,
                                    const std::vector<std::string>& named);

/// For people, and as one JSON object.
[[nodiscard]] std::string report_text(const DoctorReport& report);
[[nodiscard]] std::string report_json(const DoctorReport& report);

}  // namespace drover::agent
