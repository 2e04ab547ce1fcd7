#include "eventlog/survey.h"

#include "eventlog/chain.h"

#include <algorithm>

namespace drover::eventlog {
namespace {

class Surveyor {
  public:
    Surveyor(const RocksStore& store, const LogMeta& meta, const std::optional<HeadSlot>& head_file,
             const KnownAnchors& anchors, RecordVisitor visit)
        : store_(store),
          meta_(meta),
          head_file_(head_file),
          anchors_(meta.lineage, anchors),
          result_(meta.lineage),
          visit_(std::move(visit)) {
        result_.heads.set_epoch(meta.epoch);
    }

    Survey run() {
        read_events();
        for (const auto& [stream, track] : tracks_) result_.heads.add_stream(stream, track.end);
        // Behind damaged events the index has nothing to be compared with.
        if (result_.findings.empty()) read_streams();
        read_answers();
        compare_meta();
        compare_head_file();
        result_.anchors = anchors_.finish(result_.heads.head().seq);
        for (const Finding& finding : result_.anchors.findings)
            add_finding(result_.findings, finding);
        return std::move(result_);
    }

  private:
    /// What the events say of one stream.
    struct Track {
        StreamHead end;
        std::vector<Seq> seqs;
    };

    void find(std::string id, Seq seq, std::string detail) {
        add_finding(result_.findings, {std::move(id), seq, std::move(detail)});
    }

    void find(const Error& error, Seq seq) { find(error.id(), seq, error.detail()); }

    void read_events() {
        const auto read = store_.scan(Column::events, {}, [this](ByteView key, ByteView stored) {
            read_event(key, stored);
            return true;
        });
        if (!read) find(read.error(), chain_.seq() + 1);
    }

    void read_event(ByteView key, ByteView stored) {
        ++result_.events;
        const Seq due = chain_.seq() + 1;
        const auto key_seq = seq_from_event_key(key);
        if (!key_seq) return find(key_seq.error(), due);
        if (result_.first_seq == 0) result_.first_seq = *key_seq;
        const auto record = chain_.next(stored);
        if (record) {
            if (*key_seq != record->seq)
                find("event_damaged", due, "event " + std::to_string(due) + ": wrong key");
            accept(*record);
            return;
        }
        find(record.error(), due);
        // Look on behind the damage; what follows is judged from the event that could be decoded.
        const auto decoded = decode_record(stored);
        if (!decoded) return;
        chain_.resume_after(*decoded);
        accept(*decoded);
    }

    void accept(const Record& record) {
        Track& track = tracks_[record.stream];
        if (auto link = check_stream_link(record, track.end); !link)
            find(link.error(), record.seq);
        if (record.epoch > meta_.epoch)
            find("meta_differs", record.seq,
                 "event " + std::to_string(record.seq) + " is of epoch " +
                     std::to_string(record.epoch) + " and the log's own note says " +
                     std::to_string(meta_.epoch));
        result_.heads.set_end(record);
        track.end = StreamHead{record.stream_seq, record.hash};
        track.seqs.push_back(record.seq);
        // Once something is wrong the log is not going to be used.
        if (visit_ && result_.findings.empty() && !visit_(record)) visit_ = nullptr;
        anchors_.see(record.seq, record.hash);
        if (head_file_ && record.seq == head_file_->seq) hash_at_head_file_ = record.hash;
    }

    /// The index must say exactly what the events say.
    void read_streams() {
        std::uint64_t entries = 0;
        auto at = tracks_.cbegin();  // the index has the same order
        const auto read = store_.scan(Column::streams, {}, [&](ByteView key, ByteView value) {
            ++entries;
            const auto entry = decode_stream_entry(key, value);
            if (!entry) {
                find(entry.error(), 0);
                return true;
            }
            while (at != tracks_.cend() && at->first < entry->stream) ++at;
            const bool known = at != tracks_.cend() && at->first == entry->stream;
            const bool right = known && entry->stream_seq >= 1 &&
                               entry->stream_seq <= at->second.seqs.size() &&
                               at->second.seqs[entry->stream_seq - 1] == entry->seq;
            if (!right)
                find("index_damaged", entry->seq,
                     "the index of stream " + stream_text(entry->stream) + " is wrong at " +
                         std::to_string(entry->stream_seq));
            return true;
        });
        if (!read) find("index_damaged", 0, read.error().detail());
        if (entries != result_.events)
            find("index_damaged", 0,
                 "the stream index has " + std::to_string(entries) + " entries for " +
                     std::to_string(result_.events) + " events");
    }

    void read_answers() {
        const auto read = store_.scan(Column::answers, {}, [this](ByteView key, ByteView value) {
            ++result_.answers;
            if (auto answer = decode_answer(key, value); !answer) find(answer.error(), 0);
            return true;
        });
        if (!read) find("answer_damaged", 0, read.error().detail());
        if (result_.answers != meta_.answers)
            find("answer_damaged", 0,
                 std::to_string(result_.answers) + " answers to commands where " +
                     std::to_string(meta_.answers) + " were written");
    }

    void compare_meta() {
        const Head& head = result_.heads.head();
        if (meta_.seq == head.seq && meta_.hash == head.hash) return;
        find("meta_differs", std::min(meta_.seq, head.seq) + 1,
             "the log ends at event " + std::to_string(head.seq) + " and its own note says " +
                 std::to_string(meta_.seq));
    }

    void compare_head_file() {
        if (!head_file_)
            return find("head_file_damaged", 0,
                        "the head file is missing or has no valid slot; the log ends at event " +
                            std::to_string(result_.heads.head().seq));
        const Head& head = result_.heads.head();
        const Seq kept = head_file_->seq;
        if (head_file_->lineage != head.lineage)
            return find("log_lineage_differs", 0,
                        "the log is of lineage " + uuid_text(head.lineage) + ", its head file of " +
                            uuid_text(head_file_->lineage));
        if (head.seq < kept)
            return find("log_shorter_than_head", head.seq + 1,
                        "the log ends at event " + std::to_string(head.seq) +
                            ", its head file says " + std::to_string(kept));
        if (head.epoch < head_file_->epoch)
            find("log_epoch_behind_head", head.seq + 1,
                 "the log is in epoch " + std::to_string(head.epoch) + ", its head file says " +
                     std::to_string(head_file_->epoch));
        if (hash_at_head_file_ != head_file_->hash)
            find("log_differs_from_head", kept,
                 "event " + std::to_string(kept) + " of " + std::to_string(head.seq) +
                     " has another hash than the head file keeps for it");
    }

    const RocksStore& store_;
    const LogMeta& meta_;
    const std::optional<HeadSlot>& head_file_;
    AnchorCheck anchors_;
    Survey result_;
    ChainCheck chain_;
    std::map<StreamId, Track> tracks_;
    RecordVisitor visit_;
    Hash hash_at_head_file_;  ///< stays zero for position 0, as in the file
};

}  // namespace

Result<Survey> survey(const RocksStore& store, const std::optional<HeadSlot>& head_file,
                      const KnownAnchors& anchors, const ReadingBegins& begin) {
    TRY(const auto value, store.get(Column::meta, meta_key()));
    if (!value) return Error(Errc::corrupt, "meta_damaged", "the facts about the log are missing");
    TRY(const LogMeta meta, decode_meta(*value));
    RecordVisitor visit = begin ? begin(meta.lineage) : RecordVisitor();
    return Surveyor(store, meta, head_file, anchors, std::move(visit)).run();
}

}  // namespace drover::eventlog
