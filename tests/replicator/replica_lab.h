/// A source and a target in one process: memory disks, memory links, a real gate, real signatures.
/// Each side can be killed, lose power, or have its network cut, and be started again on what it
/// left behind.
#pragma once

#include "base/random.h"
#include "replicator/block_map.h"
#include "replicator/source_lanes.h"
#include "replicator/source_replica.h"
#include "replicator/target_replica.h"
#include "tests/replicator/forwarding_device.h"
#include "wire/memory_link.h"
#include "wire/pki.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace drover::replicator::testing {

class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(
        const std::filesystem::path& parent = std::filesystem::temp_directory_path());
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

/// Polls until `condition` holds; false after ten seconds.
[[nodiscard]] bool eventually(const std::function<bool()>& condition);
/// Polls for as long as this; for what must not happen.
[[nodiscard]] bool within(std::int64_t ms, const std::function<bool()>& condition);

/// A source disk with a tracker of the kind the kernel offers: marked when a write completes, alive
/// while agents come and go.
struct TrackedDisk {
    explicit TrackedDisk(std::uint64_t size_bytes);

    void write(std::uint64_t offset, ByteView data);

    /// A block filled with `value`.
    void write_block(std::uint64_t block, std::uint8_t value);

    [[nodiscard]] BlockMap dirty() { return {words.data(), blocks_of(disk.facts().size_bytes)}; }

    MemoryDevice disk;
    std::vector<std::uint64_t> words;
    Generation generation;
    std::atomic<std::uint64_t> seq = 0;
    std::atomic<Audit::Verdict> verdict = Audit::Verdict::exact;
    std::function<void()> during_audit;  ///< on the source's thread; set before that begins
    bool attached = false;
};

class MarkingTracker final : public ChangeTracker {
  public:
    explicit MarkingTracker(TrackedDisk& disk)
        : disk_(disk),
          resumed_(std::exchange(disk.attached, true)) {}

    [[nodiscard]] std::string_view kind() const override { return "marking"; }

    [[nodiscard]] const Generation& generation() const override { return disk_.generation; }

    [[nodiscard]] bool resumed() const override { return resumed_; }

    [[nodiscard]] BlockMap dirty() override { return disk_.dirty(); }

    [[nodiscard]] Result<> refresh() override { return {}; }

    void observe(std::uint64_t, ByteView) override {}

    [[nodiscard]] std::uint64_t observe_bytes() const override { return block_bytes; }

    [[nodiscard]] std::uint64_t seq() override { return disk_.seq; }

    /// Each verdict but exact is given once.
    [[nodiscard]] Result<Audit> audit() override {
        if (disk_.during_audit) disk_.during_audit();
        return Audit{disk_.verdict.exchange(Audit::Verdict::exact), 0, "injected"};
    }

    void forget() override { disk_.attached = false; }

  private:
    TrackedDisk& disk_;
    bool resumed_;
};

class Recorder final : public SourceObserver {
  public:
    void mirror_done(const MirrorDone& done) override;
    void data_state(const DataStateNow& now) override;
    void generation_gone(const GenerationGone& gone) override;
    void progress(const Progress& progress) override;

    [[nodiscard]] std::vector<MirrorDone> mirrors() const;
    [[nodiscard]] std::vector<DataState> states() const;
    [[nodiscard]] DataState state() const;
    [[nodiscard]] std::vector<GenerationGone> gone() const;
    [[nodiscard]] Progress last() const;

  private:
    mutable std::mutex mutex_;
    std::vector<MirrorDone> mirrors_;
    std::vector<DataState> states_;
    std::vector<GenerationGone> gone_;
    Progress last_;
};

/// Of links whose hellos were sent; nothing is packed.
[[nodiscard]] std::vector<BulkLane> bulk_lanes(PeerLinks& links);

class Lab {
  public:
    /// `tracking`: with MarkingTracker; else with the real scan tracker.
    explicit Lab(std::vector<std::uint64_t> sizes_bytes, bool tracking = true);
    ~Lab();

    void start_target();
    void start_source();
    /// As above, for ends that may refuse to begin.
    [[nodiscard]] Result<> try_start_target();
    [[nodiscard]] Result<> try_start_source();

    /// As SIGKILL: what is in memory is gone, state files stay.
    void kill_target() { close_gate(); }

    void kill_source() { source.reset(); }

    /// Both ends, and waits until the mirror is reported.
    void mirror();

    [[nodiscard]] Ticket signed_ticket(std::uint64_t serial) const;
    [[nodiscard]] Result<PeerLinks> dial();

    [[nodiscard]] std::size_t dials() const { return dials_; }

    /// Bytes of the source disks that differ on the target.
    [[nodiscard]] std::uint64_t differing_bytes();

    /// Ends the present connection; the next one is cut after so many frames (0: not at all).
    void cut_next(std::uint64_t bulk_frames, std::uint64_t control_frames);

    // ---- what a test may turn ----
    /// Real disks in place of the memory ones, of the same sizes.
    std::function<std::unique_ptr<BlockDevice>(std::size_t)> open_source_disk;
    std::function<std::unique_ptr<BlockDevice>(std::size_t)> open_target_disk;
    /// What the source disks' filesystems would say is free.
    std::function<Result<FreeSpace>(BlockDevice&)> free_space;
    bool allow_ebpf = false;
    std::string why_not_ebpf;  ///< of the source disk opened last
    bool tracker_resumed = false;
    /// Options of the next first bulk link and control link, used once.
    std::atomic<std::uint64_t> cut_bulk_after_frames = 0;
    std::atomic<std::uint64_t> cut_control_after_frames = 0;
    /// The n-th bulk frame from now on has one bit of its payload flipped; 0: never.
    std::atomic<std::uint64_t> flip_bulk_frame_in = 0;
    std::uint64_t serial = 1;
    WallMicros not_after_micros;
    bool overwrite_acknowledged = false;
    ReplicateMode mode = ReplicateMode::transfer;
    Limits limits;
    Pacing pacing;
    std::string source_identity = "drover:agent:source";
    Compression compression = Compression::none;  ///< frames can be counted on
    unsigned streams = 1;
    std::uint64_t batch_bytes = batch_bytes_max;
    std::int64_t ack_timeout_ms = 30'000;
    /// The next pairs of links pass through here.
    std::function<void(PeerLinks&)> wrap_links;
    std::optional<JournalPlace> journal;  ///< of the next target
    /// The way back: what the target's disks hold is known to the source under this name.
    std::optional<FencePoint> fence_point;

    TemporaryDirectory directory;
    std::vector<std::unique_ptr<TrackedDisk>> source_disks;
    std::vector<std::unique_ptr<MemoryDevice>> target_disks;
    Recorder recorder;
    std::unique_ptr<SourceReplica> source;
    std::shared_ptr<TargetReplica> target;
    /// Answers in place of the target: its disks are their users'.
    std::shared_ptr<PeerServer> held;
    wire::SigningKey key;
    std::string boot_id = "boot-1";

  private:
    void close_gate();
    [[nodiscard]] wire::MemoryLinkOptions link_options() const;
    [[nodiscard]] Result<std::unique_ptr<wire::Link>> dial_bulk(std::uint64_t cut_after_frames);

    SystemClock clock_;
    SystemRandom random_;
    bool tracking_;
    JobId job_;
    Uuid lineage_;
    std::mutex target_mutex_;
    std::unique_ptr<PeerGate> gate_;
    std::atomic<std::size_t> dials_ = 0;
    std::mutex admissions_mutex_;
    std::vector<std::thread> admissions_;
};

}  // namespace drover::replicator::testing
