/// Disks that root gave to drover on this host, by `drover-agent expose`. No other disk is ever
/// written: identity, size and attachment are looked at again at every open.
#pragma once

#include "agent/host_ops.h"
#include "base/result.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::agent {

struct Exposure {
    std::string path;      ///< as root named it and the plan must name it
    std::string identity;  ///< empty where the disk has none that is stable
    std::uint64_t size_bytes = 0;
    std::uint64_t diskseq = 0;  ///< of the attachment; tells disks apart that have no identity
    std::string boot_id;        ///< in which diskseq means something
    bool override_not_blank = false;  ///< root said that what is on it may be lost

    bool operator==(const Exposure&) const = default;
};

class ExposureStore {
  public:
    explicit ExposureStore(std::filesystem::path directory)
        : directory_(std::move(directory)) {}

    [[nodiscard]] Result<std::vector<Exposure>> all() const;
    /// Errors: denied ("target_not_exposed").
    [[nodiscard]] Result<Exposure> find(const std::string& path) const;
    [[nodiscard]] Result<bool> has(const std::string& path) const;
    [[nodiscard]] Result<> store(const Exposure& exposure) const;
    [[nodiscard]] Result<> remove(const std::string& path) const;

  private:
    [[nodiscard]] std::filesystem::path file_of(const std::string& path) const;

    std::filesystem::path directory_;
};

/// The exposure of `path`, after checking that the disk there is still the one that was exposed.
/// Errors: denied ("target_not_exposed", "target_identity_changed"), those of HostOps::look_up.
[[nodiscard]] Result<Exposure> check_exposed(const ExposureStore& store, HostOps& host,
                                             const std::string& path);

/// Refuses a disk that somebody uses. Errors: unavailable ("target_in_use", naming the holder).
[[nodiscard]] Result<> check_unused(HostOps& host, const std::string& path);

/// Refuses a disk that carries this host or this agent. Errors: denied ("root_disk").
[[nodiscard]] Result<> check_not_own(HostOps& host, const std::string& path);

/// All of `drover-agent expose`. `override_identity`: what root typed after --override-not-blank,
/// or empty. It must be the identity of the disk, or its path where it has none.
[[nodiscard]] Result<Exposure> expose_disk(const ExposureStore& store, HostOps& host,
                                           const std::string& path,
                                           const std::string& override_identity);
/// All of `drover-agent expose --reverse`, into the store of those: what a target's users write may
/// come back to this disk of a source, while it is fenced. Nothing of it changes now.
[[nodiscard]] Result<Exposure> expose_reverse(const ExposureStore& store, HostOps& host,
                                              const std::string& path);
/// The consent, after checking that the disk there is still the one it was given for. Errors:
/// denied ("reverse_not_exposed", "target_identity_changed"), those of HostOps::look_up.
[[nodiscard]] Result<Exposure> check_reverse_exposed(const StatePaths& paths, HostOps& host,
                                                     const std::string& path);
[[nodiscard]] Result<> unexpose_disk(const ExposureStore& store, HostOps& host,
                                     const std::string& path);

}  // namespace drover::agent
