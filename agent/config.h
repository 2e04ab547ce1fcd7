/// The agent's configuration file (TOML). Unknown keys are errors: a misspelt safety setting must
/// not silently mean its default.
#pragma once

#include "base/result.h"
#include "replicator/bulk_lanes.h"
#include "replicator/bulk_packer.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace drover::agent {

/// Where a target listens for its source, and the address that the source dials; and where a source
/// listens for what comes back from its target.
struct ListenConfig {
    std::string host = "0.0.0.0";
    std::string advertise;  ///< never empty after parsing: `host` if the file names none
    std::uint16_t control_port = 6325;
    std::uint16_t bulk_port = 6326;
};

inline constexpr const char* default_state_directory = "/var/lib/drover-agent";

struct Config {
    std::string name;
    std::string server_host;
    std::uint16_t server_port = 6325;
    std::filesystem::path state;
    bool is_source = false;
    bool is_target = false;
    /// Set if is_target. Of a source only if the file has a [listen] that names an address.
    std::optional<ListenConfig> listen;
    bool allow_ebpf = true;  ///< tracker.kind is "auto", not "scan"
    replicator::Compression compression = replicator::Compression::automatic;  ///< as a source
    std::uint32_t streams = 1;                ///< bulk connections of a job, as a source
    std::uint32_t walk_mib_per_s = 32;        ///< of the comparison while in sync; 0: there is none
    std::filesystem::path journal_directory;  ///< of targets' redo journals; empty: direct mode
    std::uint32_t journal_mib = 384;          ///< of each job
    std::string freeze_hooks;                 ///< a directory of fsfreeze hooks; empty: none
    std::uint32_t freeze_limit_s = 5;         ///< then frozen filesystems thaw, whatever happens
    std::string test_overlay = "auto";        ///< or "reflink", "dm-snapshot", "qcow2", "none"
    std::filesystem::path test_directory;     ///< of tests' overlays; empty: no tests
    std::map<std::string, std::string> hooks;  ///< name to absolute path
    std::uint32_t hook_timeout_s = 60;
};

/// `origin` names the file in errors. Errors: invalid, detail with line and column where known.
[[nodiscard]] Result<Config> parse_config(std::string_view text, std::string_view origin);
[[nodiscard]] Result<Config> load_config(const std::filesystem::path& path);

}  // namespace drover::agent
