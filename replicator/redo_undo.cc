/// Undo records: what a batch overwrites, made durable before it is applied, so that the disks can
/// be taken back to earlier points.
#include "base/assert.h"
#include "replicator/device_range.h"
#include "replicator/redo_journal.h"
#include "replicator/zero_runs.h"

#include <algorithm>
#include <tuple>

namespace drover::replicator {
namespace {

/// Read at once, at most. A record is closed when it has no room for as much.
constexpr std::uint64_t piece_bytes_max = 256U << 10;
constexpr std::size_t zero_unit_bytes = 4096;

Error first_point_differs(const std::string& disk) {
    return Error(Errc::io, "first_point_differs",
                 disk + " does not keep what is written back to it",
                 "the journal with everything that was overwritten",
                 "look at the disk and its controller in the kernel log, then retry");
}

/// In whatever order.
void mix(Digest& into, const Digest& other) {
    for (std::size_t i = 0; i < into.data.size(); ++i) into.data[i] ^= other.data[i];
}

}  // namespace

std::vector<RedoJournal::Touched> RedoJournal::merged(std::vector<Touched> ranges) {
    std::ranges::sort(ranges, {}, [](const Touched& t) { return std::tie(t.disk, t.offset); });
    std::vector<Touched> out;
    for (const Touched& range : ranges) {
        const bool joins = !out.empty() && out.back().disk == range.disk &&
                           range.offset <= out.back().offset + out.back().length;
        if (!joins) {
            out.push_back(range);
            continue;
        }
        Touched& last = out.back();
        last.length = std::max(last.length, range.offset + range.length - last.offset);
    }
    return out;
}

/// Depends on the ranges alone, not on what lies there: after a crash, while the disks are half
/// written, the same batch must be found to have undo records or not.
std::uint64_t RedoJournal::undo_bytes_max(std::span<const Touched> ranges) {
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
    for (const Touched& range : ranges) {
        bytes += range.length;
        entries += range.length / zero_unit_bytes + range.length / piece_bytes_max + 2;
    }
    const std::uint64_t records = bytes / (record_payload_bytes_max - piece_bytes_max) +
                                  entries / (record_entries_max / 2) + 1;
    const std::uint64_t heads_and_padding = 2 * journal_block_bytes * (records + 1);
    const std::uint64_t blocks = (bytes + journal_block_bytes - 1) / journal_block_bytes;
    return blocks * journal_block_bytes + heads_and_padding;
}

std::uint64_t RedoJournal::undo_used() const {
    return header_.undos.empty() ? 0 : undo_head() - header_.undos.front().position;
}

/// Where the next one begins. Without any it may be anywhere: they are told from leftovers by the
/// life they were written in.
std::uint64_t RedoJournal::undo_head() const {
    if (header_.undos.empty()) return 0;
    return header_.undos.back().position + header_.undos.back().bytes;
}

/// What a batch overwrites that no undo record holds yet. A first point needs the oldest content of
/// a range only, and what is sent again after a crash must not need room again.
std::vector<RedoJournal::Touched> RedoJournal::to_undo(const Batch& batch) const {
    std::vector<Touched> out;
    for (Touched range : merged(batch.touched)) {
        const std::uint64_t end = range.offset + range.length;
        auto done = std::ranges::partition_point(undone_, [&](const Touched& each) {
            return std::tie(each.disk, each.offset) < std::tie(range.disk, range.offset) &&
                   (each.disk < range.disk || each.offset + each.length <= range.offset);
        });
        for (; done != undone_.end() && done->disk == range.disk && done->offset < end; ++done) {
            if (done->offset > range.offset)
                out.push_back({range.disk, range.offset, done->offset - range.offset});
            range.offset = std::min(done->offset + done->length, end);
        }
        range.length = end - range.offset;
        if (range.length > 0) out.push_back(range);
    }
    return out;
}

/// Before the COMMIT, which cannot be taken back: every batch that is or will be committed finds
/// room for what it overwrites.
Result<> RedoJournal::check_undo_room() const {
    std::uint64_t needed = undo_used();
    for (const Batch& batch : batches_) needed += undo_bytes_max(to_undo(batch));
    return needed <= header_.undo_bytes ? Result<>() : first_point_over_budget();
}

/// What the undo records hold that an earlier process wrote.
Result<> RedoJournal::find_undone() {
    std::vector<Touched> ranges;
    for (const UndoExtent& undo : header_.undos) {
        TRY(const std::vector<UndoPart> parts, parts_of(undo));
        for (const UndoPart& part : parts) {
            std::uint64_t position = part.position;
            for (std::uint64_t n = 0; n < part.records; ++n) {
                TRY(const auto record, store_.read(header_, JournalRing::undo, position));
                if (!record) return journal_corrupt("an undo record is gone");
                for (const RecordEntry& entry : record->head.entries)
                    ranges.push_back({entry.disk, entry.offset, entry.length});
                position += record->head.bytes();
            }
        }
    }
    undone_ = merged(std::move(ranges));
    return {};
}

/// Older undo records are given up, durably, before they are overwritten.
Result<> RedoJournal::make_undo_room(std::uint64_t bytes) {
    if (keeps_first_)
        return bytes <= header_.undo_bytes - undo_used() ? Result<>() : first_point_over_budget();
    const std::size_t before = header_.undos.size();
    while (!header_.undos.empty() &&
           (bytes > header_.undo_bytes - undo_used() || header_.undos.size() >= journal_undos_max))
        header_.undos.erase(header_.undos.begin());
    return header_.undos.size() == before ? Result<>() : store_.store(header_);
}

/// nullopt if the ring cannot hold them: then there is no way back over this batch.
Result<std::optional<UndoExtent>> RedoJournal::make_undo(const Batch& batch,
                                                         const StillBusy& busy) {
    if (pending_undo_) return pending_undo_;
    const std::vector<Touched> ranges = keeps_first_ ? to_undo(batch) : merged(batch.touched);
    const std::uint64_t bytes = undo_bytes_max(ranges);
    const bool fits = header_.points_max > 0 && bytes <= header_.undo_bytes;
    TRY_VOID(make_undo_room(fits ? bytes : header_.undo_bytes + 1));
    if (!fits) return std::optional<UndoExtent>();
    TRY(UndoExtent undo, write_undo(busy, batch, ranges));
    DROVER_ASSERT(undo.bytes <= bytes);
    return std::optional<UndoExtent>(std::move(undo));
}

Result<UndoExtent> RedoJournal::write_undo(const StillBusy& busy, const Batch& batch,
                                           std::span<const Touched> ranges) {
    UndoExtent undo;
    undo.before = header_.applied;
    undo.before.note.clear();
    undo.position = undo_head();
    DigestStream content;
    RecordBuilder builder;
    const AlignedBuffer buffer(piece_bytes_max);
    for (const Touched& range : ranges) {
        for (std::uint64_t at = 0; at < range.length; at += piece_bytes_max) {
            const auto data = buffer.first(std::min(piece_bytes_max, range.length - at));
            if (busy) busy();
            TRY_VOID(disks_[range.disk]->read(range.offset + at, data));
            for (const Run& run : zero_runs(data, zero_unit_bytes)) {
                const RecordEntry entry{range.offset + at + run.offset,
                                        static_cast<std::uint32_t>(run.length), range.disk,
                                        run.zero};
                if (!builder.has_room_for(entry))
                    TRY_VOID(write_undo_record(builder, undo, content, batch.number));
                const ByteView piece = ByteView(data).subspan(run.offset, run.length);
                builder.add(entry, run.zero ? ByteView() : piece);
            }
        }
    }
    if (!builder.is_empty()) TRY_VOID(write_undo_record(builder, undo, content, batch.number));
    undo.content = content.digest();
    RecordHead end = head_for(RecordKind::undo_end, batch.number, undo.position + undo.bytes);
    end.content = undo.content;
    end.records = undo.records;
    TRY_VOID(store_.write(header_, JournalRing::undo, end.position, encode_record_head(end)));
    TRY_VOID(store_.flush());
    undo.bytes += journal_block_bytes;
    return undo;
}

Result<> RedoJournal::write_undo_record(RecordBuilder& builder, UndoExtent& undo,
                                        DigestStream& content, std::uint64_t batch) {
    RecordHead head = head_for(RecordKind::undo, batch, undo.position + undo.bytes);
    const ByteView bytes = builder.finish(head);
    TRY_VOID(store_.write(header_, JournalRing::undo, head.position, bytes));
    content.update(record_digest(bytes.first(journal_block_bytes)).view());
    undo.bytes += bytes.size();
    ++undo.records;
    builder.clear();
    return {};
}

/// A batch was applied: its undo records count from the next slot on. What is no point to go back
/// to is only passed through.
void RedoJournal::note_undo(std::optional<UndoExtent> undo) {
    auto& undos = header_.undos;
    if (undo) undos.push_back(std::move(*undo));
    const auto leads_nowhere = [&] { return !undos.empty() && !undos.front().before.is_point; };
    while (leads_nowhere()) undos.erase(undos.begin());
    for (std::size_t i = undos.size(); i-- > 1;)
        if (keeps_first_ || !undos[i].before.is_point) pass_through(i);
    while (undos.size() > header_.points_max) give_up_one();
}

/// The point that the extent leads to is none any more; one further back is reached through it.
void RedoJournal::pass_through(std::size_t at) {
    const UndoExtent& gone = header_.undos[at];
    UndoExtent& into = header_.undos[at - 1];
    into.bytes += gone.bytes;
    into.records += gone.records;
    into.batches += gone.batches;
    mix(into.content, gone.content);
    header_.undos.erase(header_.undos.begin() + static_cast<std::ptrdiff_t>(at));
}

/// Of the points that were found, one that has close neighbours for its age: the older they are,
/// the fewer are kept. Of those that were asked for, the oldest, when there are no others.
void RedoJournal::give_up_one() {
    auto& undos = header_.undos;
    const WallMicros now = std::max(undos.back().before.taken_micros, header_.applied.taken_micros);
    std::size_t least = 0;
    double least_worth = 0;
    for (std::size_t i = 1; i < undos.size(); ++i) {
        if (undos[i].before.kind != PointKind::crash) continue;
        const bool is_last = i + 1 == undos.size();
        const WallMicros next = is_last ? now : undos[i + 1].before.taken_micros;
        const auto gap = static_cast<double>(next - undos[i - 1].before.taken_micros);
        const auto age = std::max<WallMicros>(now - undos[i].before.taken_micros, 1);
        const double worth = gap / static_cast<double>(age);
        if (least != 0 && worth >= least_worth) continue;
        least = i;
        least_worth = worth;
    }
    if (least != 0) return pass_through(least);
    undos.erase(undos.begin());
}

std::vector<BatchMark> RedoJournal::points() const {
    std::vector<BatchMark> out;
    for (const UndoExtent& undo : header_.undos)
        if (undo.before.is_point) out.push_back(undo.before);
    if (header_.applied.is_point) out.push_back(header_.applied);
    return out;
}

Error first_point_over_budget() {
    return Error(
        Errc::invalid, "reverse_over_budget",
        "the journal has no room for what was written on the target, or for what it "
        "overwrites here: each takes one half of it",
        "the disks as they were fenced; nothing of it was written in place",
        "on this host raise journal.size_mib in agent.toml to at least two and a half "
        "times of what was written, restart drover-agent and retry; or abandon the writes");
}

Error no_such_point(std::uint64_t batch) {
    return Error(Errc::not_found, "no_such_point",
                 "the journal has no way back to batch " + std::to_string(batch),
                 "the disks as they are", "choose one of the points that are listed");
}

Result<> RedoJournal::restore(std::uint64_t batch) {
    TRY_VOID(usable());
    if (is_frozen()) return target_in_test();
    TRY_VOID(drop_open());
    const std::vector<BatchMark> known = points();
    if (std::ranges::find(known, batch, &BatchMark::batch) == known.end())
        return no_such_point(batch);
    if (batch == header_.applied.batch) return {};
    for (const UndoExtent& undo : header_.undos)
        if (undo.before.batch >= batch) TRY_VOID(parts_of(undo));
    return guarded(restore_now(batch));
}

Result<> RedoJournal::give_up_points() {
    TRY_VOID(usable());
    if (keeps_first_ || (header_.undos.empty() && !header_.applied.is_point)) return {};
    header_.undos.clear();
    header_.applied.is_point = false;
    return guarded(store_.store(header_));
}

Result<> RedoJournal::restore_now(std::uint64_t batch) {
    header_.restoring = batch;
    TRY_VOID(store_.store(header_));
    return run_restore();
}

/// From the newest to the one that leads to the point. Interrupted anywhere, all of it is done
/// again: the records say what the blocks are to hold, whatever they hold now.
Result<> RedoJournal::run_restore() {
    const std::uint64_t goal = *header_.restoring;
    std::size_t at = header_.undos.size();
    do {
        --at;
        TRY_VOID(play_undo(header_.undos[at]));
    } while (header_.undos[at].before.batch != goal);
    TRY_VOID(flush_disks());
    if (keeps_first_) TRY_VOID(check_restored());
    header_.applied = header_.undos[at].before;
    header_.undos.resize(at);
    header_.restoring.reset();
    undone_.clear();
    return begin_life();
}

/// The disks hold what the undo records say, each range of which was recorded once. Errors: io
/// "first_point_differs", corrupt.
Result<> RedoJournal::check_restored() {
    const AlignedBuffer buffer(piece_bytes_max);
    for (const UndoExtent& undo : header_.undos) {
        TRY(const std::vector<UndoPart> parts, parts_of(undo));
        for (const UndoPart& part : parts) {
            std::uint64_t position = part.position;
            for (std::uint64_t n = 0; n < part.records; ++n) {
                TRY(const auto record, store_.read(header_, JournalRing::undo, position));
                if (!record) return journal_corrupt("an undo record is gone");
                ByteView payload = record->payload;
                for (const RecordEntry& entry : record->head.entries) {
                    const auto found = buffer.first(entry.length);
                    TRY_VOID(disks_[entry.disk]->read(entry.offset, found));
                    const bool is_same =
                        entry.zero ? std::ranges::all_of(found, [](auto b) { return b == 0; })
                                   : std::ranges::equal(found, payload.first(entry.length));
                    if (!is_same) return first_point_differs(disks_[entry.disk]->facts().path);
                    if (!entry.zero) payload = payload.subspan(entry.length);
                }
                position += record->head.bytes();
            }
        }
    }
    return {};
}

/// Looks at every record. Errors: corrupt.
Result<std::vector<RedoJournal::UndoPart>> RedoJournal::parts_of(const UndoExtent& undo) {
    std::vector<UndoPart> parts;
    Digest content;
    const std::uint64_t end = undo.position + undo.bytes;
    std::uint64_t position = undo.position;
    while (position < end && parts.size() < undo.batches) {
        UndoPart part{position, 0};
        DigestStream of_batch;
        for (bool is_over = false; !is_over;) {
            TRY(const auto record, store_.read(header_, JournalRing::undo, position));
            if (!record || position >= end)
                return journal_corrupt("an undo record at position " + std::to_string(position));
            const RecordHead& head = record->head;
            is_over = head.kind == RecordKind::undo_end;
            const bool is_good =
                is_over ? head.content == of_batch.digest() && head.records == part.records
                        : head.kind == RecordKind::undo && entries_fit(head.entries);
            if (!is_good)
                return journal_corrupt("an undo record at position " + std::to_string(position));
            position += head.bytes();
            if (is_over) {
                mix(content, head.content);
            } else {
                of_batch.update(record->digest.view());
                ++part.records;
            }
        }
        parts.push_back(part);
    }
    if (content == undo.content && position == end && parts.size() == undo.batches) return parts;
    return journal_corrupt("undo records are not those that were written");
}

/// From the last batch to the first.
Result<> RedoJournal::play_undo(const UndoExtent& undo) {
    TRY(const std::vector<UndoPart> parts, parts_of(undo));
    for (std::size_t i = parts.size(); i-- > 0;) {
        std::uint64_t position = parts[i].position;
        for (std::uint64_t n = 0; n < parts[i].records; ++n) {
            TRY(const auto record, store_.read(header_, JournalRing::undo, position));
            if (!record) return journal_corrupt("an undo record that was there before is gone");
            TRY_VOID(write_in_place(record->head.entries, record->payload));
            position += record->head.bytes();
        }
    }
    return {};
}

}  // namespace drover::replicator
