#include "replicator/held_target.h"

#include "base/log.h"
#include "replicator/aligned_buffer.h"
#include "replicator/held_hash.h"
#include "replicator/peer_codec.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// A source that was restarted dials anew.
constexpr std::int64_t idle_ms_max = 600'000;
constexpr std::int64_t rest_ms_max = 5'000;

Error promoted() {
    return Error(Errc::denied, "target_promoted",
                 "the target's disks belong to its users; they are only read here",
                 "everything on the target's disks",
                 "resync the job and acknowledge by name that those writes are lost");
}

Error protocol_error(const std::string& why) {
    return Error(Errc::invalid, "bad_message", "the source broke the protocol: " + why,
                 "everything on the target's disks",
                 "check that both agents run matching versions");
}

}  // namespace

HeldTarget::HeldTarget(Ticket ticket, std::vector<std::unique_ptr<BlockDevice>> disks,
                       WrittenBlocks& written, Clock& clock)
    : ticket_(std::move(ticket)),
      disks_(std::move(disks)),
      written_(written),
      clock_(clock) {}

void HeldTarget::serve_control(std::unique_ptr<wire::Link> link, Bytes hello) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        session->link->abort();
        if (!session->finished) {
            ++session;
            continue;
        }
        session->thread.join();
        session = sessions_.erase(session);
    }
    Session& session = sessions_.emplace_back();
    session.link = std::move(link);
    session.thread = Thread([this, &session, hello = std::move(hello)] {
        serve(*session.link, hello);
        const std::lock_guard finished(mutex_);
        session.finished = true;
    });
}

/// Nothing is sent to a disk that belongs to its users.
void HeldTarget::serve_bulk(std::unique_ptr<wire::Link> link, Bytes) {
    link->abort();
}

void HeldTarget::end() {
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        for (const Session& session : sessions_) session.link->abort();
        changed_.notify_all();
    }
    // After ended_ no session is added, so the list can be walked without the lock.
    for (Session& session : sessions_) session.thread.join();
    sessions_.clear();
}

void HeldTarget::serve(wire::Link& link, const Bytes& hello) {
    Result<> done = greet(link, hello);
    while (done) {
        const auto bytes = link.receive(idle_ms_max);
        if (!bytes) return;
        const auto message = decode_source_message(*bytes);
        done = message ? answer(link, *message) : Result<>(message.error());
    }
    log::warn("replicator", "a comparison ends: " + done.error().text(), "peer=" + link.peer());
    // If the source is gone, nobody misses the reason.
    (void)link.send(encode(TargetMessage(PeerRefused{done.error()})));
}

Result<> HeldTarget::greet(wire::Link& link, const Bytes& hello) {
    TRY(const SourceMessage first, decode_source_message(hello));
    const auto* asked = std::get_if<PeerHello>(&first);
    if (asked == nullptr) return protocol_error("the first message is not a hello");
    const bool only_compares = std::ranges::count(asked->capabilities, compare_capability) > 0;
    const Ticket& shown = asked->ticket;
    if (!only_compares || shown.job != ticket_.job || shown.lineage != ticket_.lineage ||
        shown.serial != ticket_.serial)
        return promoted();
    if (ticket_.sizes_bytes.size() != disks_.size())
        return protocol_error("the ticket names another number of disks");
    TRY_VOID(written_.audit());
    PeerWelcome welcome;
    welcome.checkpoint.state = CheckpointState::promoted;
    welcome.checkpoint.mirrored_upto.resize(disks_.size());
    for (const auto& disk : disks_) welcome.sizes_bytes.push_back(disk->facts().size_bytes);
    welcome.capabilities = {compare_capability};
    return link.send(encode(TargetMessage(std::move(welcome))));
}

Result<> HeldTarget::answer(wire::Link& link, const SourceMessage& message) {
    if (std::holds_alternative<Ping>(message)) return link.send(encode(TargetMessage(Pong{})));
    const auto* question = std::get_if<CompareRange>(&message);
    if (question == nullptr) return promoted();
    TRY_VOID(check_question(*question));
    const SteadyMillis began_ms = clock_.steady_ms();
    TRY(RangeCompared found, look(*question));
    const std::int64_t took_ms = clock_.steady_ms() - began_ms;
    TRY_VOID(link.send(encode(TargetMessage(std::move(found)))));
    // Never more than half of the time: the disks have other work to do, and the slower they are
    // because of it, the longer this waits.
    rest(std::min(took_ms, rest_ms_max));
    return {};
}

Result<> HeldTarget::check_question(const CompareRange& question) const {
    const RangeQuestion& range = question.range;
    if (range.disk >= disks_.size()) return protocol_error("no such disk");
    const std::uint64_t size = ticket_.sizes_bytes[range.disk];
    if (range.length == 0 || range.length > size || range.offset > size - range.length)
        return protocol_error("a range beyond the end of the disk");
    const bool ends_disk = range.offset + range.length == size;
    if (range.length % block_bytes != 0 && !ends_disk) return protocol_error("a part of a block");
    const bool is_fine = question.settled || range.chunk_bytes == block_bytes;
    if (range.offset % held_chunk_bytes != 0 ||
        range.length > (is_fine ? held_chunk_bytes : held_range_bytes))
        return protocol_error("a range not on chunks, or too long");
    if (range.chunk_bytes != held_chunk_bytes && range.chunk_bytes != block_bytes)
        return protocol_error("chunk size");
    return {};
}

Result<RangeCompared> HeldTarget::look(const CompareRange& question) {
    const RangeQuestion& range = question.range;
    RangeCompared found{range.disk, range.offset, {}, Bytes(written_bytes_of(range.length))};
    const AlignedBuffer buffer(std::min(held_chunk_bytes, range.length));
    for (std::uint64_t done = 0; done < range.length; done += held_chunk_bytes) {
        const auto piece = buffer.first(std::min(held_chunk_bytes, range.length - done));
        TRY_VOID(disks_[range.disk]->read(range.offset + done, piece));
        if (question.settled) TRY_VOID(written_.audit());
        const std::uint64_t first = done / block_bytes;
        for (std::uint64_t i = 0; i < blocks_of(piece.size()); ++i) {
            const std::uint64_t block = range.offset / block_bytes + first + i;
            if (written_.may_be_written(range.disk, block, 1))
                set_written(found.written, first + i);
        }
        const std::vector<Hash> blocks = hash_blocks(piece, found.written, first);
        if (range.chunk_bytes == block_bytes)
            found.hashes = blocks;
        else
            found.hashes.push_back(hash_chunk(blocks));
    }
    return found;
}

void HeldTarget::rest(std::int64_t ms) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, ms, [this] { return ended_; });
}

}  // namespace drover::replicator
