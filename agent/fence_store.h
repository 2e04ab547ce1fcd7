/// The markers of the fences on this host: one durable file per fence, STATE/fences/TOKEN.
///
///   (none) ─► fenced ─► releasing ─► (none)
///               └► reversing ┘  (back to fenced, reverse_receiver.h)
///
/// A marker is bound to the host that made it. Copied or restored onto another host it is foreign:
/// shown, and otherwise ignored.
#pragma once

#include "agent/state_store.h"
#include "base/result.h"
#include "base/threads.h"
#include "schemas/model.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

/// reversing: nobody but this agent may write the disks, and it does: what comes back from the
/// target.
enum class FenceState : std::uint8_t { fenced = 0, releasing = 1, reversing = 2 };

[[nodiscard]] std::string_view name_of(FenceState state);

/// What became of the way back. begun: the journal that keeps the fence point is made. kept: the
/// disks hold what the target's users wrote, and the fence point is gone.
enum class ReverseState : std::uint8_t { none = 0, begun = 1, kept = 2 };

struct FenceMarker {
    FenceState state = FenceState::fenced;
    Effect effect;  ///< the Fence effect: job, token, run, disks, hooks
    HostIdentity host;
    std::uint64_t tracker_seq = 0;
    std::vector<std::uint64_t>
        write_marks;  ///< HostOps::write_mark per disk, valid in host.boot_id
    WallMicros fenced_micros = 0;
    bool breached = false;        ///< a breach was reported; once is enough
    bool broken_by_root = false;  ///< releasing because local root said so
    ReverseState reverse = ReverseState::none;

    /// Nobody but us may write: the guard holds the disks.
    [[nodiscard]] bool is_held() const { return state != FenceState::releasing; }

    [[nodiscard]] const FenceWork& work() const { return std::get<FenceWork>(effect.work); }

    bool operator==(const FenceMarker&) const = default;
};

class FenceStore {
  public:
    FenceStore(std::filesystem::path directory, HostIdentity host)
        : directory_(std::move(directory)),
          host_(std::move(host)) {}

    [[nodiscard]] const HostIdentity& host() const { return host_; }

    /// Markers of this host. Errors: corrupt, io. A marker that cannot be read is never skipped.
    [[nodiscard]] Result<std::vector<FenceMarker>> own() const;
    /// Tokens of markers that another host made.
    [[nodiscard]] Result<std::vector<FenceMarker>> foreign() const;
    [[nodiscard]] Result<std::optional<FenceMarker>> find(const FenceToken& token) const;
    /// The marker of a job, if it has one here.
    [[nodiscard]] Result<std::optional<FenceMarker>> of_job(const JobId& job) const;

    [[nodiscard]] Result<> store(const FenceMarker& marker) const;
    [[nodiscard]] Result<> remove(const FenceToken& token) const;

  private:
    /// A marker is read every second and rarely changes: one with the same text is not decoded
    /// again.
    struct Known {
        std::string text;
        FenceMarker marker;
    };

    [[nodiscard]] Result<std::vector<FenceMarker>> all() const;
    [[nodiscard]] Result<FenceMarker> load(const std::filesystem::path& path) const;

    std::filesystem::path directory_;
    HostIdentity host_;
    mutable Mutex mutex_;
    mutable std::map<std::filesystem::path, Known> known_;
};

}  // namespace drover::agent
