#include "base/clock.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "eventlog/rocksdb_log.h"

namespace drover::bench {
namespace {

WallMicros wall_micros() { return SystemClock().wall_micros(); }

Uuid lineage_of_bench() {
    Uuid lineage;
    lineage.data.fill(0x42);
    return lineage;
}

/// Commits as the engine does: one append for everything that waits, then all are answered.
class DroverStore final : public Store {
  public:
    explicit DroverStore(const std::string& directory) {
        const std::string path = directory + "/log";
        if (const auto made = eventlog::create_rocksdb_log(path, lineage_of_bench()); !made)
            fail(made.error().text());
        auto log = eventlog::open_rocksdb_log(path, {.ballast_bytes = 0});
        if (!log) fail(log.error().text());
        log_ = std::move(*log);
        const auto epoch = log_->raise_epoch(wall_micros());
        if (!epoch) fail(epoch.error().text());
        epoch_ = *epoch;
    }

    [[nodiscard]] std::string name() const override { return "drover"; }

    void open(std::size_t) override {}

    void submit(const StoreAppend& append) override { waiting_.push_back(append); }

    void complete(std::vector<StoreDone>& done) override {
        std::vector<eventlog::Append> batch;
        for (const StoreAppend& append : waiting_) {
            const eventlog::StreamId stream{eventlog::StreamKind::job, append.stream};
            // The engine looks at what its decision rests on; the log checks it again below.
            const bool conflict = log_->stream_head(stream).seq != append.expected;
            done.push_back({append.producer, conflict});
            if (!conflict) batch.push_back(as_log_append(stream, append));
        }
        waiting_.clear();
        if (batch.empty()) return;
        const auto result = log_->append(batch, epoch_, wall_micros());
        if (result.outcome != eventlog::AppendOutcome::ok) fail(result.error.text());
        ++commits_;
    }

    [[nodiscard]] std::uint64_t commits() const override { return commits_; }

  private:
    static eventlog::Append as_log_append(const eventlog::StreamId& stream,
                                          const StoreAppend& append) {
        eventlog::NewEvent event;
        event.kind = 1;
        event.payload.assign(append.payload.begin(), append.payload.end());
        eventlog::Append out;
        out.stream = stream;
        out.expected_stream_seq = append.expected;
        out.events.push_back(std::move(event));
        return out;
    }

    std::unique_ptr<eventlog::EventLog> log_;
    eventlog::Epoch epoch_ = 0;
    std::vector<StoreAppend> waiting_;
    std::uint64_t commits_ = 0;
};

}  // namespace

std::unique_ptr<Store> make_drover_store(const std::string& directory) {
    return std::make_unique<DroverStore>(directory);
}

}  // namespace drover::bench
