/// What this agent remembers of one side of one job between processes: STATE/jobs/JOB-SIDE/.
#pragma once

#include "agent/host_ops.h"
#include "agent/state_store.h"
#include "base/result.h"
#include "schemas/model.h"

#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

/// The last Replicate effect. It outlives its withdrawal: Activate and Deactivate need the disks.
struct ReplicateRecord {
    bool wanted = false;
    Effect effect;

    [[nodiscard]] const ReplicateWork& work() const { return std::get<ReplicateWork>(effect.work); }

    /// This side's paths, in the job's order.
    [[nodiscard]] std::vector<std::string> disks(Side side) const;
};

[[nodiscard]] Result<std::optional<ReplicateRecord>> load_replicate(
    const std::filesystem::path& job_directory);
[[nodiscard]] Result<> store_replicate(const std::filesystem::path& job_directory,
                                       const ReplicateRecord& record);

/// Which disks a target job has begun to write: they are not blank any more and need not be.
[[nodiscard]] Result<bool> owns_disks(const std::filesystem::path& job_directory,
                                      const std::vector<std::string>& disks, HostOps& host);
[[nodiscard]] Result<> store_owned(const std::filesystem::path& job_directory,
                                   const std::vector<std::string>& disks, HostOps& host);

struct JobDirectory {
    JobId job;
    Side side = Side::source;
};

/// Every job that this agent remembers.
[[nodiscard]] Result<std::vector<JobDirectory>> list_jobs(const StatePaths& paths);

/// That no other job of this agent has begun to write one of `disks`: its copy, or what its users
/// made of it, would be lost. Errors: conflict (disk_of_other_job).
[[nodiscard]] Result<> check_of_no_other_job(const StatePaths& paths, const JobId& job,
                                             const std::vector<std::string>& disks, HostOps& host);

/// Removes the directory with everything in it. A missing one is a success.
[[nodiscard]] Result<> remove_job_directory(const std::filesystem::path& job_directory);

}  // namespace drover::agent
