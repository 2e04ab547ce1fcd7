/// The target's end of one job: applies batches to its disks, in place or through a redo journal,
/// and answers for what it holds. Serves links handed over by the
/// listener.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "replicator/device.h"
#include "replicator/peer_server.h"
#include "replicator/target_journal.h"
#include "schemas/model.h"
#include "wire/link.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace drover::replicator {

/// For the way back (ADR 0023): the disks are those of a fenced source, and what they hold is known
/// under this name to the agent whose changes come.
struct FencePoint {
    Generation generation;
    bool is_begun = false;  ///< an earlier process got this far: its checkpoint must be there
};

struct TargetConfig {
    Ticket ticket;
    std::vector<std::unique_ptr<BlockDevice>> disks;
    std::filesystem::path state_directory;  ///< per job; holds the checkpoint; on no job disk
    bool overwrite_acknowledged = false;
    std::optional<JournalPlace> journal;    ///< none: direct mode
    std::optional<FencePoint> fence_point;  ///< needs a journal that keeps its first point
};

struct TargetProgress {
    std::uint64_t batch = 0;  ///< last durable one
    std::uint64_t bytes_written = 0;
    std::uint64_t unverified = 0;  ///< bytes that were flushed and not read back, or differ
    bool promoted = false;
    std::uint64_t journal_lag_bytes = 0;  ///< durable in the journal, not yet on the disks
    std::vector<BatchMark> points;        ///< that the disks can be taken back to, oldest first
    std::uint64_t journal_used_bytes = 0;
    std::uint64_t journal_budget_bytes = 0;  ///< 0: there is no journal
    bool in_test = false;
};

class TargetReplica : public PeerServer {
  public:
    virtual void update(const Ticket& ticket, bool overwrite_acknowledged) = 0;
    [[nodiscard]] virtual TargetProgress progress() = 0;

    /// Durably voids the generation, ends the session, closes the disks: from here on somebody else
    /// may write them. Idempotent. Errors: conflict "target_in_test", io (nothing was released).
    [[nodiscard]] virtual Result<> promote() = 0;

    /// Ends the session and takes the disks back to one of progress().points; later points are
    /// gone. A source that comes back finds a target that vouches for nothing, and compares
    /// everything. Blocks. Errors: not_found "no_such_point", conflict "target_in_test" (nothing
    /// was changed), io.
    [[nodiscard]] virtual Result<> restore_point(std::uint64_t batch) = 0;

    /// The disks stay as they are from here on, at the point that is returned, until end_test():
    /// over restarts, and whatever comes meanwhile goes to the journal only. Beyond 80 % of its
    /// budget nothing more is taken; the source hears why, and that its target lives. Waits up to
    /// `wait_ms` for a point. Idempotent. Errors: unsupported "test_needs_journal", unavailable
    /// "no_point_yet", io.
    [[nodiscard]] virtual Result<BatchMark> begin_test(std::int64_t wait_ms) = 0;
    /// Application goes on, with what the journal holds. Idempotent. Errors: io.
    [[nodiscard]] virtual Result<> end_test() = 0;

    /// Ends the session and removes the checkpoint; data stays.
    virtual void forget() = 0;
};

[[nodiscard]] Result<std::unique_ptr<TargetReplica>> open_target_replica(TargetConfig config,
                                                                         Clock& clock,
                                                                         Random& random);

/// The ticket check at the listener: takes the first frame of a fresh link, verifies signature,
/// expiry, peer identity and serial, and hands the link to the right job's replica.
struct GateOptions {
    std::string own_agent;
    std::string orchestrator_public_pem;  ///< verifies ticket signatures
    std::int64_t hello_timeout_ms = 10'000;
};

class PeerGate {
  public:
    /// Finds who answers for a job; null if the job is not wanted here (yet).
    using Find = std::function<std::shared_ptr<PeerServer>(const Ticket&)>;

    PeerGate(GateOptions options, Find find, Clock& clock);

    /// Blocks up to hello_timeout_ms: call on a thread of its own or a small pool.
    void admit_control(std::unique_ptr<wire::Link> link);
    void admit_bulk(std::unique_ptr<wire::Link> link);

  private:
    GateOptions options_;
    Find find_;
    Clock& clock_;
};

}  // namespace drover::replicator
