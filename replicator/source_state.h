/// What the source knows about its copy beyond the trackers: how far each disk is, which blocks are
/// on their way or not yet read back, and the counters. In a SharedMap, so that a killed agent goes
/// on where it was.
///
/// Per disk:  unknown ─► mirroring ─────────────────► tracked        (the target was blank)
///            unknown ─► comparing ─► catching_up ──► tracked        (the target holds something)
/// mirroring and catching_up are the same sweep with a cursor; only the first sends everything.
#pragma once

#include "replicator/block_map.h"
#include "replicator/shared_map.h"
#include "replicator/tracker.h"

#include <filesystem>
#include <optional>
#include <span>

namespace drover::replicator {

enum class CopyPhase : std::uint8_t {
    unknown = 0,      ///< nothing was agreed with the target under this generation
    comparing = 1,    ///< hashes are compared up to the cursor; differences are dirty
    mirroring = 2,    ///< the first sweep over everything
    catching_up = 3,  ///< the first sweep over what the comparison found
    tracked = 4       ///< everything that differs is dirty or pending
};

enum class Counter : std::uint8_t {
    bytes_changed = 0,
    bytes_sent_mirror = 1,
    bytes_sent_sync = 2,
    bytes_zero_skipped = 3,
    bytes_resumed = 4,
    passes = 5,
    tracker_losses = 6,
    bytes_read_back = 7,  ///< by the target, of what it wrote
    bytes_differed = 8,   ///< of those
    walk_rounds = 9,
    walk_alarms = 10,
    bytes_on_wire = 11  ///< frames with their headers, payloads as compressed
};

struct SourceStateKey {
    JobId job;
    std::string boot_id;
    std::vector<std::uint64_t> sizes_bytes;
    std::vector<Generation> tracker_generations;
    bool trackers_resumed = false;  ///< all of them
    /// The trackers know what differs from this, which the other end holds. Then state that was
    /// lost is an error.
    std::optional<Generation> fence_point = {};
};

[[nodiscard]] Error changes_unknown(const std::string& why);

class SourceState {
  public:
    /// Takes over an earlier process's state if everything in the key matches, else starts a new
    /// generation with every disk unknown. Errors: io, unavailable, conflict "changes_unknown".
    [[nodiscard]] static Result<SourceState> open(const std::filesystem::path& directory,
                                                  const SourceStateKey& key, const Uuid& fresh);

    /// True if there was state of an earlier process that could not be taken over.
    [[nodiscard]] bool lost_earlier() const { return lost_earlier_; }

    [[nodiscard]] Generation generation() const;
    /// Voids what the target may believe: it will not find its generation again.
    void renew_generation(const Generation& fresh);
    /// True once the target has acknowledged a batch under this generation.
    [[nodiscard]] bool is_known_to_target() const;

    [[nodiscard]] std::uint64_t acked_batch() const;
    /// `by_target`: the acknowledgement was for a batch under this generation.
    void set_acked_batch(std::uint64_t batch, bool by_target);

    [[nodiscard]] std::size_t disks() const { return maps_.size(); }

    [[nodiscard]] CopyPhase phase(std::size_t disk) const;
    void set_phase(std::size_t disk, CopyPhase phase);
    /// Bytes of the sweep or comparison that are done, durably for a sweep.
    [[nodiscard]] std::uint64_t cursor(std::size_t disk) const;
    void set_cursor(std::size_t disk, std::uint64_t bytes);

    /// Blocks taken for batches of this parity and not known to be durable on the target.
    [[nodiscard]] BlockMap pending(std::size_t disk, std::uint64_t batch) const;

    /// The batch is durable on the target: from here on its pending blocks are unread ones.
    void end_batch(std::uint64_t batch);
    /// The target has read back everything up to `batch`, and it was right.
    void note_read_back(std::uint64_t batch);
    void forget_unread();
    [[nodiscard]] bool has_unread() const;
    [[nodiscard]] std::uint64_t unread_bytes() const;
    /// Blocks that are durable on the target and not known to have been read back. In two halves,
    /// so that one can become empty while batches go on: each knows the last batch in it.
    [[nodiscard]] BlockMap unread(std::size_t disk, std::size_t half) const;

    [[nodiscard]] std::uint64_t counter(Counter counter) const;
    void add(Counter counter, std::uint64_t by);
    void set(Counter counter, std::uint64_t value);

    /// Removes the file; the object is then only good for destruction.
    void forget();

  private:
    SourceState(SharedMap map, std::filesystem::path path,
                const std::vector<std::uint64_t>& sizes_bytes);

    [[nodiscard]] static Result<SourceState> begin(SourceState state, const SourceStateKey& key,
                                                   const Uuid& fresh);

    struct Maps {
        std::size_t first_word = 0;
        std::uint64_t blocks = 0;
    };

    [[nodiscard]] std::uint64_t load(std::size_t word) const;
    void store(std::size_t word, std::uint64_t value);

    SharedMap map_;
    std::filesystem::path path_;
    std::vector<Maps> maps_;
    bool lost_earlier_ = false;
};

}  // namespace drover::replicator
