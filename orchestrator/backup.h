/// Backups of a state directory: a directory with a copy of the log, the keys that a server needs
/// to come up elsewhere, and a manifest of all of it. Blocking.
///
///   DIR/manifest.json   lineage, head and epoch of the log; size and SHA-256 of every other file
///       log/            a log of its own, copied event by event (eventlog/copy.h)
///       authority.key …  as in the state directory (setup.h)
///
/// Not in it: the recovery key, which belongs on no server, the API token in clear, and what only a
/// running server needs (owner file, ballast). It holds secrets all the same: mode 0700, and nobody
/// may read it who may not be root on the server.
#pragma once

#include "base/clock.h"
#include "eventlog/log.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::orchestrator {

struct BackupFile {
    std::string path;  ///< relative to the backup
    std::uint64_t bytes = 0;
    Hash sha256;

    bool operator==(const BackupFile&) const = default;
};

struct Manifest {
    WallMicros made_micros = 0;
    std::string software;
    eventlog::Head head;
    std::vector<BackupFile> files;
};

constexpr std::size_t backup_files_max = 65'536;

/// What a state directory may hold beside its log; the second kind may be missing.
[[nodiscard]] const std::vector<std::string>& key_files();
[[nodiscard]] const std::vector<std::string>& optional_files();

/// Absolute and without a slash at its end, so that a name can be made of it.
[[nodiscard]] std::filesystem::path plain_path(const std::filesystem::path& given);

/// Copies one file of a state directory, with the mode that it is to have. Errors: not_found, io.
[[nodiscard]] Result<> copy_state_file(const std::filesystem::path& from,
                                       const std::filesystem::path& to, const std::string& name);

/// Copies the state to `to`, which must not exist or be empty, and checks the copy. A server may
/// run: what it had acknowledged when this began is in the copy. Errors: conflict
/// (backup_not_empty; log_behind, log_differs, other_lineage: see older_copy.h), not_found
/// (state_missing), those of eventlog::copy_log, io.
[[nodiscard]] Result<Manifest> make_backup(const std::filesystem::path& state,
                                           const std::filesystem::path& to, WallMicros now);

/// Reads every byte: each file is there as the manifest says, no other is, and the log is whole and
/// ends where the manifest says. Errors: not_found (manifest_missing), corrupt (manifest_damaged,
/// backup_differs, or what is wrong with the log).
[[nodiscard]] Result<Manifest> check_backup(const std::filesystem::path& backup);

}  // namespace drover::orchestrator
