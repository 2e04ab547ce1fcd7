#include "orchestrator/open_log.h"

#include "base/threads.h"

#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace drover::orchestrator {

namespace {

/// Large enough that handing one over costs nothing beside its events.
constexpr std::size_t batch_events = 512;
/// The reader waits when the other thread is this far behind.
constexpr std::size_t batches_waiting_max = 16;

/// The fold of the log on a thread of its own: reading and hashing on one side, decoding and
/// applying on the other, in the order of the log.
class Fold {
  public:
    explicit Fold(const Uuid& lineage)
        : thread_([this] { run(); }) {
        state_.lineage = lineage;
    }

    ~Fold() {
        if (thread_.joinable()) end();
    }

    Fold(const Fold&) = delete;
    Fold& operator=(const Fold&) = delete;

    /// False when an event could not be used: nothing more is wanted.
    bool see(const eventlog::Record& record) {
        next_.push_back(record);
        return next_.size() < batch_events || hand_over();
    }

    Result<State> finish() {
        hand_over();
        end();
        if (failure_) return *failure_;
        return std::move(state_);
    }

  private:
    using Records = std::vector<eventlog::Record>;

    void end() {
        {
            const std::lock_guard lock(mutex_);
            is_complete_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    bool hand_over() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return waiting_.size() < batches_waiting_max || failure_; });
        waiting_.push_back(std::exchange(next_, {}));
        next_.reserve(batch_events);
        changed_.notify_all();
        return !failure_;
    }

    std::optional<Records> take() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !waiting_.empty() || is_complete_; });
        if (waiting_.empty()) return std::nullopt;
        Records batch = std::move(waiting_.front());
        waiting_.pop_front();
        changed_.notify_all();
        return batch;
    }

    void run() {
        while (const auto batch = take()) {
            if (auto applied = apply_all(*batch); !applied) {
                const std::lock_guard lock(mutex_);
                if (!failure_) failure_ = applied.error();
                changed_.notify_all();
            }
        }
    }

    Result<> apply_all(const Records& batch) {
        if (failure_) return {};  // set by this thread
        for (const eventlog::Record& record : batch) {
            const auto fact = history::decode_record_fact(record);
            if (!fact) return history::at_event(record.seq, fact.error());
            history::apply(state_, record, *fact);
        }
        return {};
    }

    Mutex mutex_;
    Condition changed_;
    std::deque<Records> waiting_;
    bool is_complete_ = false;
    std::optional<Error> failure_;
    State state_;   ///< of thread_ until it is joined
    Records next_;  ///< of the reader
    Thread thread_;
};

}  // namespace

Result<OpenedLog> open_log(const std::filesystem::path& directory, std::uint64_t ballast_bytes) {
    std::unique_ptr<Fold> fold;
    eventlog::OpenOptions options;
    options.ballast_bytes = ballast_bytes;
    options.begin_reading = [&fold](const Uuid& lineage) {
        fold = std::make_unique<Fold>(lineage);
        return [&fold](const eventlog::Record& record) { return fold->see(record); };
    };
    TRY(auto log, eventlog::open_rocksdb_log(directory, options));
    TRY(auto state, fold->finish());
    return OpenedLog{std::move(log), std::move(state)};
}

}  // namespace drover::orchestrator
