/// The agent's memory of what it was asked and what it did: an append-only file.
///
///   start ─► (the work) ─► finish ─► sent, resent ─► acknowledge
///
/// File: frames of {u32 length, u32 CRC-32C of the length, u32 CRC-32C of the payload, payload},
/// the first one a header. Every append is synced before it returns. A torn last frame is dropped
/// at open; damage anywhere else refuses the start. Compacted at open: per job and side the newest
/// entries stay, and everything that is not acknowledged; tombstones and highest positions stay for
/// ever.
///
/// Thread-safe. Appends block for one fdatasync. After a failed append every later one fails too:
/// the process is expected to stop and to begin again from what is really on disk.
#pragma once

#include "base/file.h"
#include "base/result.h"
#include "base/threads.h"
#include "schemas/model.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace drover::agent {

struct JournalEntry {
    Effect effect;
    Hash digest;
    std::optional<Report> report;  ///< empty: started, outcome unknown

    bool operator==(const JournalEntry&) const = default;
};

class Journal {
  public:
    /// Entries kept per job and side beyond those that are still needed.
    static constexpr std::size_t finished_kept_max = 64;

    /// Errors: io, corrupt ("journal_damaged").
    [[nodiscard]] static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& path);

    /// Before the work of a one-shot effect begins. Raises the highest position of its kind of
    /// work.
    [[nodiscard]] Result<> start(const Effect& effect, const Hash& digest);
    /// The outcome of a started effect; replaces an earlier outcome.
    [[nodiscard]] Result<> finish(const Report& report);
    /// A report that is not the outcome of a one-shot: an observation or a refusal.
    [[nodiscard]] Result<> observe(const Report& report);
    [[nodiscard]] Result<> acknowledge(const Uuid& report_id);
    /// The token is dead: no Fence and no Activate with it will ever be obeyed.
    [[nodiscard]] Result<> tombstone(const FenceToken& token);
    /// The job was cleaned up here by the effect at `seq`: nothing older is obeyed.
    [[nodiscard]] Result<> close(const JobId& job, Side side, std::uint64_t seq);

    [[nodiscard]] std::optional<JournalEntry> find(const EffectId& id) const;
    /// The Fence effect with this token, if one was ever started here.
    [[nodiscard]] std::optional<Effect> find_fence(const FenceToken& token) const;
    /// Started and not finished, oldest position first.
    [[nodiscard]] std::vector<JournalEntry> unfinished() const;
    [[nodiscard]] std::vector<Report> unacknowledged() const;
    [[nodiscard]] bool is_tombstoned(const FenceToken& token) const;
    /// Highest causing position of an ownership effect; 0 if there was none.
    [[nodiscard]] std::uint64_t ownership_seq(const JobId& job, Side side) const;
    [[nodiscard]] std::uint64_t closed_seq(const JobId& job, Side side) const;

    /// What the journal remembers of one side of one job.
    struct SideMemory {
        std::string job_name;        ///< empty when no effect of it is left
        std::uint64_t last_seq = 0;  ///< highest causing position of anything that was taken
        bool unfinished = false;     ///< a step was started, and its outcome is unknown
    };

    /// Every job that was ever taken up here.
    [[nodiscard]] std::map<std::pair<JobId, Side>, SideMemory> memory() const;

  private:
    using JobSide = std::pair<JobId, Side>;

    explicit Journal(std::filesystem::path path)
        : path_(std::move(path)) {}

    [[nodiscard]] Result<> replay(ByteView file);
    [[nodiscard]] Result<> apply(ByteView payload);
    [[nodiscard]] Result<> compact();
    [[nodiscard]] Result<> append(const Bytes& payload);
    void note_start(JournalEntry entry);
    void note_report(const Report& report, bool is_outcome);
    [[nodiscard]] bool is_waiting(const Uuid& report_id) const;

    std::filesystem::path path_;
    std::optional<AppendFile> file_;  ///< set once open
    bool failed_ = false;
    mutable Mutex mutex_;
    std::map<EffectId, JournalEntry> entries_;
    std::vector<Report> waiting_;  ///< not acknowledged, in the order made
    std::set<FenceToken> tombstones_;
    std::map<JobSide, std::uint64_t> ownership_seq_;
    std::map<JobSide, std::uint64_t> closed_seq_;
};

}  // namespace drover::agent
