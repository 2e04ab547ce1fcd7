#include "replicator/source_read_back.h"

#include "base/log.h"

namespace drover::replicator {
namespace {

std::string text_of(const ByteRange& range) {
    return "disk " + std::to_string(range.disk) + " bytes " + std::to_string(range.offset) + "+" +
           std::to_string(range.length);
}

bool is_ours(SourceJob& job, const ByteRange& range) {
    return range.disk < job.disks() && range.length > 0 && range.length <= job.size(range.disk) &&
           range.offset <= job.size(range.disk) - range.length;
}

/// Seen since the last word of this connection; a target that counts down is not believed.
std::uint64_t more_than(std::uint64_t before, std::uint64_t now) {
    return now > before ? now - before : 0;
}

}  // namespace

void take_read_back(SourceJob& job, const ReadBackFound& found) {
    job.state.note_read_back(found.verified_batch);
    const ReadBackFound& seen = job.read_back_seen;
    job.state.add(Counter::bytes_read_back, more_than(seen.read_bytes, found.read_bytes));
    job.state.add(Counter::bytes_differed, more_than(seen.differed_bytes, found.differed_bytes));
    for (const ByteRange& range : found.differing) {
        if (!is_ours(job, range)) continue;
        const std::uint64_t first = range.offset / block_bytes;
        job.tracker(range.disk).dirty().set(first, blocks_of(range.offset + range.length) - first);
        const std::string what =
            "the target's disk holds other bytes than were written to it; "
            "they are sent again: " +
            text_of(range);
        log::error("replicator", what, "job=" + uuid_text(job.config.ticket.job));
        job.report.set_detail(what);
    }
    if (found.differing.empty() && !seen.differing.empty()) job.report.set_detail({});
    job.read_back_seen = found;
}

Result<> ask_read_back(SourceJob& job, PeerChannel& control) {
    TRY_VOID(control.send(ReadBackWanted{false}));
    TRY(const ReadBackFound found, control.expect<ReadBackFound>());
    take_read_back(job, found);
    return {};
}

Result<bool> finish_read_back(SourceJob& job, PeerChannel& control) {
    if (!job.reads_back) return true;
    TRY_VOID(control.send(ReadBackWanted{true}));
    TRY(const ReadBackFound found, control.expect<ReadBackFound>());
    take_read_back(job, found);
    if (!found.differing.empty()) {
        if (++job.read_back_rounds < read_back_rounds_max) return false;
        job.read_back_rounds = 0;
        return Error(Errc::io, "read_back_differs",
                     "the target's disk holds other bytes than were written to it, again and "
                     "again: " +
                         text_of(found.differing.front()),
                     "the source; the target is not released",
                     "look at the target's disk, its controller and its memory in the kernel log; "
                     "exchange what is broken, then retry the job");
    }
    if (found.unverified_bytes > 0 || job.state.has_unread())
        return Error(Errc::invalid, "bad_message",
                     "the target did not read back everything that it acknowledged",
                     "everything that was acknowledged",
                     "check that both agents run matching versions");
    job.read_back_rounds = 0;
    return true;
}

}  // namespace drover::replicator
