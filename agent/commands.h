/// The commands of drover-agent. Each returns the process's exit code (docs/exit-codes.md).
#pragma once

#include "agent/config.h"
#include "agent/state_store.h"
#include "base/result.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace drover::agent {

struct EnrollArguments {
    std::filesystem::path config;
    std::string server;  ///< https://HOST:PORT
    std::string ca_pin;
    std::filesystem::path token_file;
    std::string format = "text";
};

struct ExposeArguments {
    std::filesystem::path config;
    std::string disk;
    std::string override_identity;
    bool reverse = false;
    std::string format = "text";
};

struct ReleaseArguments {
    std::filesystem::path config;
    std::string job;
    std::string confirm;
    std::string token;  ///< empty: the job's only fence
    std::string format = "text";
};

struct DoctorArguments {
    std::filesystem::path config;
    std::vector<std::string> disks;
    std::string format = "text";
};

struct SealPointArguments {
    std::filesystem::path config;
    std::string job;
    std::string format = "text";
};

struct RestorePointArguments {
    std::filesystem::path config;
    std::string job;
    std::uint64_t point = 0;
    std::string confirm;
    std::string format = "text";
};

int run_command(const std::filesystem::path& config);
int enroll_command(const EnrollArguments& arguments);
int expose_command(const ExposeArguments& arguments);
int unexpose_command(const ExposeArguments& arguments);
int status_command(const std::filesystem::path& config, const std::string& format);
/// What works on this host and why not; changes nothing.
int doctor_command(const DoctorArguments& arguments);
int anchors_command(const std::filesystem::path& config);
int release_command(const ReleaseArguments& arguments);
int fence_remove_command(const std::filesystem::path& config, const std::string& token,
                         const std::string& format);
/// By the running agent: a point at this moment, with the filesystems frozen.
int seal_point_command(const SealPointArguments& arguments);
/// By the running agent: takes a paused job's target disks back to a point.
int restore_point_command(const RestorePointArguments& arguments);
/// Local root's word, where no signature vouches for a restored log. The agent must be stopped.
int accept_restore_command(const std::filesystem::path& config, const std::string& lineage,
                           const std::string& format);
int guard_command(const std::filesystem::path& directory, const std::string& name,
                  const std::vector<std::string>& disks);

// ---- for the commands ----

/// What a command did: `text` for people, or the fields as one JSON object of strings.
void say_done(const std::string& format,
              const std::vector<std::pair<std::string, std::string>>& fields,
              const std::string& text);

constexpr int exit_ok = 0;
constexpr int exit_usage = 2;

/// Print the error with what is kept and what to do next, and give its exit code. The second is for
/// commands about this host's own state: what is busy, denied or in conflict there is "refused".
int fail(const Error& error);
int fail_locally(const Error& error);

struct Opened {
    Config config;
    StatePaths paths;
};

[[nodiscard]] Result<Opened> open_config(const std::filesystem::path& file);

/// Who gives the order, as this host knows them.
[[nodiscard]] std::string local_user();

/// The path of this executable, for the guard.
[[nodiscard]] std::filesystem::path own_program();

}  // namespace drover::agent
