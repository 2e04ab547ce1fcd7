#include "agent/journal.h"

#include "base/assert.h"
#include "base/log.h"
#include "schemas/codec.h"

#include <algorithm>

namespace drover::agent {
namespace {

constexpr std::string_view header = "drover-agent-journal1";
constexpr std::size_t frame_head_bytes = 12;
constexpr std::size_t payload_bytes_max = message_bytes_max + 64;
constexpr std::size_t journal_bytes_max = 1U << 30;

/// First byte of every payload after the header. Never renumbered.
enum class RecordKind : std::uint8_t {
    started = 1,       // digest, effect
    finished = 2,      // report
    observed = 3,      // report
    acknowledged = 4,  // report id
    tombstoned = 5,    // token
    closed = 6,        // job, side, seq
    highest = 7        // job, side, seq: written by compaction
};

Bytes record(RecordKind kind, ByteView first, ByteView second = {}) {
    Bytes out{static_cast<std::uint8_t>(kind)};
    put_bytes(out, first);
    put_bytes(out, second);
    return out;
}

Bytes position_record(RecordKind kind, const JobId& job, Side side, std::uint64_t seq) {
    Bytes out{static_cast<std::uint8_t>(kind)};
    put_bytes(out, job.view());
    out.push_back(static_cast<std::uint8_t>(side));
    put_u64(out, seq);
    return out;
}

void put_frame(Bytes& out, ByteView payload) {
    Bytes length;
    put_u32(length, static_cast<std::uint32_t>(payload.size()));
    put_bytes(out, length);
    put_u32(out, crc32c(length));
    put_u32(out, crc32c(payload));
    put_bytes(out, payload);
}

Error damaged(const std::filesystem::path& path, std::string_view what) {
    return Error(Errc::corrupt, "journal_damaged", path.native() + ": " + std::string(what),
                 "nothing was executed",
                 "restore the state directory from a backup, or enrol this agent as a replacement");
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& path) {
    std::unique_ptr<Journal> journal(new Journal(path));
    auto contents = read_file(path, journal_bytes_max);
    if (!contents && contents.error().code() != Errc::not_found) return contents.error();
    if (contents) TRY_VOID(journal->replay(*contents));
    TRY_VOID(journal->compact());
    TRY(journal->file_, AppendFile::open(path));
    return journal;
}

/// A frame is torn if the file ends in it, or if only zeroes follow (the size was extended before
/// the data). The length has a checksum of its own: a damaged one must not look like a torn tail
/// and take everything behind it along.
Result<> Journal::replay(ByteView file) {
    std::size_t at = 0;
    bool first = true;
    while (at < file.size()) {
        const ByteView rest = file.subspan(at);
        const bool zeroes =
            std::all_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte == 0; });
        if (rest.size() < frame_head_bytes || zeroes) break;
        const std::size_t length = get_u32(rest, 0);
        if (crc32c(rest.first(4)) != get_u32(rest, 4) || length == 0 || length > payload_bytes_max)
            return damaged(path_, "impossible frame length at byte " + std::to_string(at));
        if (length > rest.size() - frame_head_bytes) break;
        const ByteView payload = rest.subspan(frame_head_bytes, length);
        if (crc32c(payload) != get_u32(rest, 8)) {
            if (rest.size() == frame_head_bytes + length) break;
            return damaged(path_, "wrong checksum at byte " + std::to_string(at));
        }
        if (first && as_text(payload) != header)
            return damaged(path_, "not a journal of this version");
        if (!first) TRY_VOID(apply(payload));
        first = false;
        at += frame_head_bytes + length;
    }
    if (at < file.size())
        log::warn("journal", "dropped a torn last record",
                  "bytes=" + std::to_string(file.size() - at));
    return {};
}

Result<> Journal::apply(ByteView payload) {
    const ByteView body = payload.subspan(1);
    switch (static_cast<RecordKind>(payload[0])) {
        case RecordKind::started: {
            if (body.size() < 32) break;
            TRY(Effect effect, decode_effect(body.subspan(32)));
            note_start({std::move(effect), *Hash::from(body.first(32)), std::nullopt});
            return {};
        }
        case RecordKind::finished:
        case RecordKind::observed: {
            TRY(const Report report, decode_report(body));
            note_report(report, payload[0] == static_cast<std::uint8_t>(RecordKind::finished));
            return {};
        }
        case RecordKind::acknowledged: {
            const auto id = Uuid::from(body);
            if (!id) break;
            std::erase_if(waiting_, [&](const Report& report) { return report.report_id == *id; });
            return {};
        }
        case RecordKind::tombstoned: {
            const auto token = FenceToken::from(body);
            if (!token) break;
            tombstones_.insert(*token);
            return {};
        }
        case RecordKind::closed:
        case RecordKind::highest: {
            if (body.size() != 25 || body[16] > 1) break;
            const JobSide key{*JobId::from(body.first(16)), static_cast<Side>(body[16])};
            const bool is_closed = payload[0] == static_cast<std::uint8_t>(RecordKind::closed);
            std::uint64_t& seq = is_closed ? closed_seq_[key] : ownership_seq_[key];
            seq = std::max(seq, get_u64(body, 17));
            return {};
        }
    }
    return damaged(path_, "a record of an unknown kind or size");
}

Result<> Journal::compact() {
    std::map<JobSide, std::vector<const JournalEntry*>> finished;
    std::vector<const JournalEntry*> kept;
    for (const auto& [id, entry] : entries_) {
        if (!entry.report || is_waiting(entry.report->report_id))
            kept.push_back(&entry);
        else if (id.seq >= closed_seq(id.job, id.side))
            finished[{id.job, id.side}].push_back(&entry);
    }
    for (auto& [key, list] : finished) {
        std::sort(list.begin(), list.end(), [](const JournalEntry* a, const JournalEntry* b) {
            return a->effect.id.seq > b->effect.id.seq;
        });
        if (list.size() > finished_kept_max) list.resize(finished_kept_max);
        kept.insert(kept.end(), list.begin(), list.end());
    }
    Bytes out;
    put_frame(out, as_bytes(header));
    for (const auto& [key, seq] : ownership_seq_)
        put_frame(out, position_record(RecordKind::highest, key.first, key.second, seq));
    for (const auto& [key, seq] : closed_seq_)
        put_frame(out, position_record(RecordKind::closed, key.first, key.second, seq));
    for (const FenceToken& token : tombstones_)
        put_frame(out, record(RecordKind::tombstoned, token.view()));
    for (const JournalEntry* entry : kept) {
        put_frame(out,
                  record(RecordKind::started, entry->digest.view(), encode_effect(entry->effect)));
        if (entry->report)
            put_frame(out, record(RecordKind::finished, encode_report(*entry->report)));
        if (entry->report && !is_waiting(entry->report->report_id))
            put_frame(out, record(RecordKind::acknowledged, entry->report->report_id.view()));
    }
    for (const Report& report : waiting_) {
        const auto entry = entries_.find(report.effect);
        const bool is_outcome = entry != entries_.end() && entry->second.report == report;
        if (!is_outcome) put_frame(out, record(RecordKind::observed, encode_report(report)));
    }
    std::map<EffectId, JournalEntry> remaining;
    for (const JournalEntry* entry : kept) remaining.emplace(entry->effect.id, *entry);
    entries_ = std::move(remaining);
    return write_file_durably(path_, out);
}

Result<> Journal::append(const Bytes& payload) {
    DROVER_ASSERT(payload.size() <= payload_bytes_max);
    if (failed_)
        return Error(
            Errc::io, "journal_failed", "an earlier write to " + path_.native() + " failed",
            "what was journalled before it", "free space or replace the disk, then restart");
    Bytes frame;
    put_frame(frame, payload);
    auto written = file_->append(frame);
    failed_ = !written;
    return written;
}

void Journal::note_start(JournalEntry entry) {
    const EffectId id = entry.effect.id;
    if (is_ownership(id.kind)) {
        std::uint64_t& highest = ownership_seq_[{id.job, id.side}];
        highest = std::max(highest, id.seq);
    }
    entries_.insert_or_assign(id, std::move(entry));
}

/// An unacknowledged observation of how the copy is doing is replaced by a newer one: only the last
/// counts, and a flapping link must not fill the journal.
void Journal::note_report(const Report& report, bool is_outcome) {
    const auto entry = entries_.find(report.effect);
    if (is_outcome && entry != entries_.end()) entry->second.report = report;
    if (std::holds_alternative<DataStateNow>(report.body)) {
        std::erase_if(waiting_, [&](const Report& old) {
            return old.effect == report.effect && std::holds_alternative<DataStateNow>(old.body);
        });
    }
    waiting_.push_back(report);
}

bool Journal::is_waiting(const Uuid& report_id) const {
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const Report& report) { return report.report_id == report_id; });
}

Result<> Journal::start(const Effect& effect, const Hash& digest) {
    const std::lock_guard lock(mutex_);
    TRY_VOID(append(record(RecordKind::started, digest.view(), encode_effect(effect))));
    note_start({effect, digest, std::nullopt});
    return {};
}

Result<> Journal::finish(const Report& report) {
    const std::lock_guard lock(mutex_);
    TRY_VOID(append(record(RecordKind::finished, encode_report(report))));
    note_report(report, true);
    return {};
}

Result<> Journal::observe(const Report& report) {
    const std::lock_guard lock(mutex_);
    TRY_VOID(append(record(RecordKind::observed, encode_report(report))));
    note_report(report, false);
    return {};
}

Result<> Journal::acknowledge(const Uuid& report_id) {
    const std::lock_guard lock(mutex_);
    if (!is_waiting(report_id)) return {};
    TRY_VOID(append(record(RecordKind::acknowledged, report_id.view())));
    std::erase_if(waiting_, [&](const Report& report) { return report.report_id == report_id; });
    return {};
}

Result<> Journal::tombstone(const FenceToken& token) {
    const std::lock_guard lock(mutex_);
    if (tombstones_.contains(token)) return {};
    TRY_VOID(append(record(RecordKind::tombstoned, token.view())));
    tombstones_.insert(token);
    return {};
}

Result<> Journal::close(const JobId& job, Side side, std::uint64_t seq) {
    const std::lock_guard lock(mutex_);
    TRY_VOID(append(position_record(RecordKind::closed, job, side, seq)));
    std::uint64_t& closed = closed_seq_[{job, side}];
    closed = std::max(closed, seq);
    return {};
}

std::optional<JournalEntry> Journal::find(const EffectId& id) const {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) return std::nullopt;
    return entry->second;
}

std::optional<Effect> Journal::find_fence(const FenceToken& token) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : entries_) {
        const auto* work = std::get_if<FenceWork>(&entry.effect.work);
        if (work != nullptr && work->token == token) return entry.effect;
    }
    return std::nullopt;
}

std::vector<JournalEntry> Journal::unfinished() const {
    const std::lock_guard lock(mutex_);
    std::vector<JournalEntry> out;
    for (const auto& [id, entry] : entries_)
        if (!entry.report) out.push_back(entry);
    std::sort(out.begin(), out.end(), [](const JournalEntry& a, const JournalEntry& b) {
        return a.effect.id.seq < b.effect.id.seq;
    });
    return out;
}

std::vector<Report> Journal::unacknowledged() const {
    const std::lock_guard lock(mutex_);
    return waiting_;
}

bool Journal::is_tombstoned(const FenceToken& token) const {
    const std::lock_guard lock(mutex_);
    return tombstones_.contains(token);
}

std::uint64_t Journal::ownership_seq(const JobId& job, Side side) const {
    const std::lock_guard lock(mutex_);
    const auto found = ownership_seq_.find({job, side});
    return found == ownership_seq_.end() ? 0 : found->second;
}

std::uint64_t Journal::closed_seq(const JobId& job, Side side) const {
    const std::lock_guard lock(mutex_);
    const auto found = closed_seq_.find({job, side});
    return found == closed_seq_.end() ? 0 : found->second;
}

std::map<std::pair<JobId, Side>, Journal::SideMemory> Journal::memory() const {
    const std::lock_guard lock(mutex_);
    std::map<JobSide, SideMemory> out;
    for (const auto& [id, entry] : entries_) {
        SideMemory& side = out[{id.job, id.side}];
        side.job_name = entry.effect.job_name;
        side.last_seq = std::max(side.last_seq, id.seq);
        side.unfinished = side.unfinished || !entry.report;
    }
    for (const auto& seqs : {ownership_seq_, closed_seq_})
        for (const auto& [key, seq] : seqs) out[key].last_seq = std::max(out[key].last_seq, seq);
    return out;
}

}  // namespace drover::agent
