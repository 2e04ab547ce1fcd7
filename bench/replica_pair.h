/// A source replica in this process and a target replica in a process of its own, as two agents
/// have them, without the orchestrator: over loopback TCP, with TLS in both directions or without.
#pragma once

#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"
#include "replicator/source_replica.h"
#include "replicator/target_journal.h"
#include "wire/identity.h"
#include "wire/pki.h"
#include "wire/tls_link.h"

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <vector>

#include <sys/types.h>

namespace drover::bench {

struct PairOptions {
    std::string source;               ///< block device
    std::string target;               ///< block device of at least its size
    std::filesystem::path directory;  ///< for the state of both; made, and removed at the end
    bool tls = true;
    unsigned streams = 1;                                            ///< bulk connections
    std::optional<replicator::JournalPlace> journal = std::nullopt;  ///< of the target
};

/// A state of the disks that the target can be taken back to, or could.
struct Point {
    std::uint64_t batch = 0;
    WallMicros taken_micros = 0;
};

/// Errors of either end are ends of the program: see fail().
class Pair final : public replicator::SourceObserver {
  public:
    /// The target listens when it returns. Forks: no other thread may run then.
    explicit Pair(PairOptions options);
    ~Pair() override;
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    /// Attaches the tracker and begins to copy: all of it to a blank target, else what a comparison
    /// finds.
    void start_source();
    /// Detaches it and forgets what it knew.
    void forget_source();
    /// now_us() when everything was durable on the target.
    [[nodiscard]] double wait_mirrored();
    /// Sends what is dirty; it is durable, read back and checkpointed when this returns.
    DrainDone drain();
    [[nodiscard]] VerifyDone verify();
    /// Keeps the connection without passes, or copies on.
    void hold();
    void go_on();

    /// Of a target with a journal, oldest first: every one that it offered since watch_points(),
    /// once; those that it offers now; and back to one of these, which needs the source to be gone.
    void watch_points();
    [[nodiscard]] std::vector<Point> points_seen();
    [[nodiscard]] std::vector<Point> points_kept();
    void restore(const Point& point);

    [[nodiscard]] Progress last_progress();

    [[nodiscard]] std::uint64_t wire_bytes() const { return wire_bytes_; }

    [[nodiscard]] const std::string& tracker_kind() const { return tracker_kind_; }

    [[nodiscard]] pid_t target_pid() const { return target_; }

  private:
    struct Ports {
        std::uint16_t control = 0;
        std::uint16_t bulk = 0;
    };

    void mirror_done(const MirrorDone& done) override;

    void data_state(const DataStateNow&) override {}

    void generation_gone(const GenerationGone& gone) override;
    void progress(const Progress& progress) override;

    [[nodiscard]] wire::TlsIdentity identity_of(const std::string& agent) const;
    void start_target();
    [[noreturn]] void serve_target(Fd parent);
    [[nodiscard]] Result<replicator::PeerLinks> dial();
    [[nodiscard]] Result<std::unique_ptr<wire::Link>> dial_counted(const wire::DialOptions& to);
    void set_mode(ReplicateMode mode);

    PairOptions options_;
    SystemClock clock_;
    SystemRandom random_;
    wire::KeyAndCertificate authority_;
    wire::SigningKey key_;
    wire::TlsIdentity source_identity_;
    Ticket ticket_;
    pid_t target_ = -1;
    Fd to_target_;
    Ports ports_;
    std::string tracker_kind_;
    std::atomic<std::uint64_t> wire_bytes_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    double mirrored_us_ = 0;
    Progress progress_;
    std::unique_ptr<replicator::SourceReplica> source_;
};

}  // namespace drover::bench
