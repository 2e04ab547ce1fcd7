/// The source's end of one job: owns the trackers, runs passes over one thread, talks to the
/// target. Independent of the orchestrator: the agent's executor drives it and passes on what it
/// observes.
///
///   dial ─► hello + ticket ─► resume state ─► passes: take, read, send (bulk), COMMIT (control),
///   ack
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "replicator/bulk_packer.h"
#include "replicator/device.h"
#include "replicator/free_space.h"
#include "replicator/freezer.h"
#include "replicator/pass_plan.h"
#include "replicator/tracker.h"
#include "schemas/model.h"
#include "wire/link.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace drover::replicator {

struct PeerLinks {
    std::unique_ptr<wire::Link> control;
    std::unique_ptr<wire::Link> bulk;
    /// Connects one more bulk link to the same target. Empty: there can be none.
    std::function<Result<std::unique_ptr<wire::Link>>()> dial_bulk = {};
    std::vector<std::unique_ptr<wire::Link>> more_bulk = {};  ///< so far, by the replica
};

/// Called on the replica's thread; must not block and must not call back into the replica.
class SourceObserver {
  public:
    virtual ~SourceObserver() = default;
    virtual void mirror_done(const MirrorDone& done) = 0;
    virtual void data_state(const DataStateNow& now) = 0;
    virtual void generation_gone(const GenerationGone& gone) = 0;
    virtual void progress(const Progress& progress) = 0;
};

class SkippingDevice;

struct SourceDisk {
    std::unique_ptr<BlockDevice> device;
    std::unique_ptr<ChangeTracker> tracker;
    /// If given, a first mirror leaves out what this says of the disk: usually read_free_space.
    /// Asked once, on the replica's thread, after the tracker was attached.
    std::function<Result<FreeSpace>(BlockDevice&)> free_space = {};
    SkippingDevice* skips = nullptr;  ///< `device`, if it leaves something out; set by the replica
};

/// How often the replica does what nobody waits for, in milliseconds.
struct Pacing {
    std::int64_t idle_pause_ms = 50;  ///< between passes that find little
    std::int64_t progress_every_ms = 500;
    std::int64_t ping_every_ms = 1'000;
    std::uint64_t walk_bytes_per_s = 32U << 20;  ///< of the walker; 0: there is none
    std::int64_t walk_round_ms_min = 600'000;    ///< from the beginning of a round to the next
};

struct SourceConfig {
    Ticket ticket;
    std::vector<SourceDisk> disks;
    std::filesystem::path state_directory;  ///< per job; holds the pending maps
    std::string boot_id;
    ReplicateMode mode = ReplicateMode::transfer;
    Limits limits;
    std::uint64_t backlog_bytes_max = 4U << 20;
    bool overwrite_acknowledged = false;
    /// Connects both links to the target. Called again, with backoff, after every loss.
    std::function<Result<PeerLinks>()> dial;
    std::int64_t ack_timeout_ms = 30'000;
    Compression compression = Compression::automatic;  ///< of what goes over the bulk links
    std::uint64_t batch_bytes = batch_bytes_max;       ///< at most, but for a region: pass_plan.h
    unsigned streams = 1;  ///< bulk links, 1..lanes_max, to a target that knows how; else one
    Pacing pacing;
    /// For the way back (ADR 0023): the other end holds the fence point of this name, and the
    /// trackers, attached before it was left, know all that differs from it. That alone is sent, as
    /// one batch. Nothing is ever mirrored or compared: a doubt ends in "changes_unknown".
    std::optional<Generation> fence_point;
};

/// Where the trackers stood when the fence closed.
struct FenceMark {
    std::uint64_t tracker_seq = 0;  ///< sum over the disks
    std::vector<std::uint64_t> seq_of_disk;
};

class SourceReplica {
  public:
    virtual ~SourceReplica() = default;  ///< stops the thread; tracking goes on, state stays

    /// A newer desired state: same job, same or higher ticket serial. Does not restart work in
    /// flight unless the serial rose.
    virtual void update(const Ticket& ticket, ReplicateMode mode, const Limits& limits,
                        bool overwrite_acknowledged) = 0;

    /// Bytes not yet durable on the target, by the dirty and pending maps.
    [[nodiscard]] virtual std::uint64_t backlog_bytes() = 0;

    /// Passes until the backlog is at most `backlog_bytes_max`; gives up after `timeout_ms` with
    /// unavailable, detail saying the backlog. Blocks. For use before a fence.
    [[nodiscard]] virtual Result<> settle(std::uint64_t backlog_bytes_max,
                                          std::int64_t timeout_ms) = 0;

    /// Positions of the trackers, after an audit that is exact or repaired. Blocks for
    /// milliseconds.
    [[nodiscard]] virtual Result<FenceMark> fence_mark() = 0;

    /// Under a fence: sends everything dirty plus `repair`, commits, waits until the target made it
    /// durable and its checkpoint says so, until dirty, pending and unread are empty on every disk
    /// and the audit is exact. A lost audit leads to a comparison of the disk. Blocks; ends with
    /// cancelled on stop(), with io "read_back_differs" if the target's disk does not keep what is
    /// written to it.
    [[nodiscard]] virtual Result<DrainDone> drain(std::span<const ByteRange> repair) = 0;

    /// Under a fence, after drain: SHA-256 of every leaf on both ends, rolled up to a root per
    /// disk.
    [[nodiscard]] virtual Result<VerifyDone> verify() = 0;

    /// Likewise, but compares nothing: that the proof by induction holds now
    /// (source_induction.h).
    [[nodiscard]] virtual Result<VerifyDone> prove() = 0;

    /// Under a fence, while the target belongs to its users: compares what these have not written
    /// (source_held.h). Blocks for at most `wait_ms`; nullopt: it goes on, call again. Begins anew
    /// after a lost connection. Errors: as verify(), and what the target refuses with.
    [[nodiscard]] virtual Result<std::optional<CompareDone>> compare(std::int64_t wait_ms) = 0;

    /// A point at this moment, with the filesystems frozen (source_seal.h). The target holds it
    /// durably when this returns. Blocks for at most `timeout_ms`, and what sealing takes. Errors:
    /// SealOutcome::refused, cancelled, those of the connection.
    [[nodiscard]] virtual Result<SealedPoint> seal_point(std::shared_ptr<Freezer> freezer,
                                                         std::int64_t timeout_ms) = 0;

    /// Ends every blocking call with cancelled and the connection; tracking goes on.
    virtual void stop() = 0;
    /// stop(), then detaches the trackers and removes the job's replication state.
    virtual void forget() = 0;
};

[[nodiscard]] Result<std::unique_ptr<SourceReplica>> open_source_replica(SourceConfig config,
                                                                         SourceObserver& observer,
                                                                         Clock& clock,
                                                                         Random& random);

}  // namespace drover::replicator
