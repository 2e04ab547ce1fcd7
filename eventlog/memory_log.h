/// A log in memory: for tests and the simulator, where "the process" restarts but memory stays.
/// Passes the same contract suite as the RocksDB log, so it may be trusted in its place.
///
/// Not thread-safe, like every EventLog.
#pragma once

#include "eventlog/heads.h"

#include <map>
#include <optional>
#include <vector>

namespace drover::eventlog {

/// How the next append goes wrong.
enum class AppendFault : std::uint8_t {
    conflict,            ///< refused, nothing written
    indeterminate_lost,  ///< indeterminate, and a restart finds nothing of it
    indeterminate_kept   ///< indeterminate, and a restart finds all of it
};

class MemoryLog final : public EventLog {
  public:
    explicit MemoryLog(const Uuid& lineage)
        : heads_(lineage) {}

    [[nodiscard]] AppendResult append(std::span<const Append> batch, Epoch epoch,
                                      WallMicros now_micros) override;
    [[nodiscard]] Result<> read(Seq from, const RecordVisitor& visit) const override;
    [[nodiscard]] Result<> read_stream(StreamId stream, StreamSeq from,
                                       const RecordVisitor& visit) const override;

    [[nodiscard]] Head head() const override { return heads_.head(); }

    [[nodiscard]] StreamHead stream_head(StreamId stream) const override {
        return heads_.stream(stream);
    }

    [[nodiscard]] Result<Hash> hash_at(Seq seq) const override;
    [[nodiscard]] Result<std::optional<CommandAnswer>> find_answer(
        const Uuid& command_id) const override;
    [[nodiscard]] Result<Epoch> raise_epoch(WallMicros now_micros) override;
    [[nodiscard]] Result<> sync_head() override;

    [[nodiscard]] std::uint64_t free_bytes() const override { return free_bytes_; }

    /// The next append that would succeed fails as `fault` says, once. After an indeterminate one
    /// the log answers nothing but errors until restart().
    void fail_next_append(AppendFault fault) { fault_ = fault; }

    /// What a new process finds: all that is stored, ready to be used again.
    void restart();

    void set_free_bytes(std::uint64_t bytes) { free_bytes_ = bytes; }

  private:
    void store(const AppendResult& planned, std::span<const Append> batch);

    Heads heads_;
    std::vector<Record> records_;
    std::map<StreamId, std::vector<Seq>> streams_;
    std::map<Uuid, CommandAnswer> answers_;
    std::optional<AppendFault> fault_;
    std::optional<Error> stopped_;
    std::uint64_t free_bytes_ = UINT64_MAX;
};

}  // namespace drover::eventlog
