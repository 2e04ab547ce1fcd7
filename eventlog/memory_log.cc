#include "eventlog/memory_log.h"

namespace drover::eventlog {
namespace {

Error invalid_position() {
    return Error(Errc::invalid, "position_invalid", "the first event has position 1");
}

Error stopped_error() {
    return Error(Errc::io, "log_stopped", "an append failed half-way; the log takes nothing more",
                 "everything acknowledged", "restart; start-up finds what is really stored");
}

}  // namespace

AppendResult MemoryLog::append(std::span<const Append> batch, Epoch epoch, WallMicros now_micros) {
    if (stopped_) return append_failed(AppendOutcome::indeterminate, *stopped_);
    AppendResult planned = heads_.plan(batch, epoch, now_micros);
    if (planned.outcome != AppendOutcome::ok) return planned;
    for (const Append& append : batch)
        if (append.answer && answers_.contains(append.answer->command_id))
            return already_answered(append.answer->command_id);

    const auto fault = std::exchange(fault_, std::nullopt);
    if (fault == AppendFault::conflict)
        return append_failed(AppendOutcome::conflict,
                             Error(Errc::conflict, "append_conflict", "as the test asked",
                                   "nothing was written", "read the stream and decide again"));
    if (fault != AppendFault::indeterminate_lost) store(planned, batch);
    if (!fault) return planned;
    stopped_ = stopped_error();
    return append_failed(AppendOutcome::indeterminate, *stopped_);
}

void MemoryLog::store(const AppendResult& planned, std::span<const Append> batch) {
    for (const Record& record : planned.records) {
        heads_.advance(record);
        records_.push_back(record);
        streams_[record.stream].push_back(record.seq);
    }
    for (const Append& append : batch)
        if (append.answer) answers_.emplace(append.answer->command_id, *append.answer);
}

Result<> MemoryLog::read(Seq from, const RecordVisitor& visit) const {
    if (stopped_) return *stopped_;
    if (from == 0) return invalid_position();
    for (Seq seq = from; seq <= records_.size(); ++seq)
        if (!visit(records_[seq - 1])) break;
    return {};
}

Result<> MemoryLog::read_stream(StreamId stream, StreamSeq from, const RecordVisitor& visit) const {
    if (stopped_) return *stopped_;
    if (from == 0) return invalid_position();
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return {};
    for (std::size_t at = from; at <= found->second.size(); ++at)
        if (!visit(records_[found->second[at - 1] - 1])) break;
    return {};
}

Result<Hash> MemoryLog::hash_at(Seq seq) const {
    if (stopped_) return *stopped_;
    if (seq == 0) return Hash{};
    if (seq > records_.size())
        return Error(Errc::not_found, "event_not_found",
                     "the log ends at event " + std::to_string(records_.size()));
    return records_[seq - 1].hash;
}

Result<std::optional<CommandAnswer>> MemoryLog::find_answer(const Uuid& command_id) const {
    if (stopped_) return *stopped_;
    const auto found = answers_.find(command_id);
    if (found == answers_.end()) return std::optional<CommandAnswer>{};
    return std::optional<CommandAnswer>{found->second};
}

Result<Epoch> MemoryLog::raise_epoch(WallMicros) {
    if (stopped_) return *stopped_;
    heads_.set_epoch(heads_.head().epoch + 1);
    return heads_.head().epoch;
}

Result<> MemoryLog::sync_head() {
    if (stopped_) return *stopped_;
    return {};
}

void MemoryLog::restart() {
    stopped_.reset();
    fault_.reset();
}

}  // namespace drover::eventlog
