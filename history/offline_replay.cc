#include "history/offline_replay.h"

#include "eventlog/record.h"
#include "history/fact_json.h"
#include "history/job_view.h"

#include <deque>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

Error bad_export(const std::string& detail) {
    return Error(
        Errc::corrupt, "export_line_damaged", detail, "nothing was changed",
        "export the history again; `drover audit verify --export FILE` says what is wrong");
}

json::array findings_json(const std::vector<ReplayFinding>& findings) {
    json::array out;
    for (const ReplayFinding& finding : findings) {
        out.push_back({{"id", finding.id}, {"seq", finding.seq}, {"detail", finding.detail}});
    }
    return out;
}

/// Reads a file and keeps what is to be shown of it.
class Run {
  public:
    explicit Run(std::optional<eventlog::Seq> until)
        : until_(until) {}

    Result<bool> line(const ExportLine& line) {
        if (const auto* header = std::get_if<ExportHeader>(&line)) {
            header_ = *header;
            replay_.emplace(header->lineage);
            return true;
        }
        const auto* event = std::get_if<ExportEvent>(&line);
        if (event == nullptr) return true;
        if (!replay_) return bad_export("an event stands before the header");
        return take(*event);
    }

    Result<json::object> answer(const std::string& file) {
        if (!replay_) return bad_export(file + " has no header of an export");
        if (until_ && last_.seq != *until_) {
            return Error(Errc::not_found, "seq_not_reached",
                         "the export has no event " + std::to_string(*until_) + "; it goes from " +
                             std::to_string(first_seq_) + " to " + std::to_string(last_.seq),
                         "nothing was changed",
                         "take a number from the SEQ column of `drover replay run FILE`");
        }
        json::array jobs;
        for (const auto& [id, entry] : replay_->state().jobs) {
            json::object job = job_state_json(entry, last_.wall_micros);
            job["as_of_seq"] = last_.seq;
            jobs.push_back(std::move(job));
        }
        json::array timeline;
        for (json::object& shown : timeline_) timeline.push_back(std::move(shown));
        return json::object{{"file", file},
                            {"job", header_.job_name},
                            {"lineage", uuid_text(header_.lineage)},
                            {"events", events_},
                            {"ok", replay_->findings().empty()},
                            {"findings", findings_json(replay_->findings())},
                            {"timeline_cut", events_ > timeline.size()},
                            {"timeline", std::move(timeline)},
                            {"jobs", std::move(jobs)}};
    }

  private:
    Result<bool> take(const ExportEvent& event) {
        TRY(const auto record, eventlog::decode_record(event.stored));
        if (until_ && record.seq > *until_) return false;
        TRY(auto step, replay_->take(event.stored));
        if (++events_ == 1) first_seq_ = record.seq;
        if (timeline_.size() == timeline_events_max) timeline_.pop_front();
        json::object shown = record_json(step.record, step.fact);
        if (const JobEntry* job = replay_->job_of(step.record)) {
            shown["job"] = job->job.spec.name;
            shown["phase"] = to_json(statemachine::name_of(job->job.phase));
        }
        timeline_.push_back(std::move(shown));
        last_ = std::move(step.record);
        return true;
    }

    std::optional<eventlog::Seq> until_;
    ExportHeader header_;
    std::optional<OfflineReplay> replay_;
    std::deque<json::object> timeline_;
    std::uint64_t events_ = 0;
    eventlog::Seq first_seq_ = 0;
    eventlog::Record last_;
};

}  // namespace

Result<OfflineReplay::Step> OfflineReplay::take(ByteView stored) {
    TRY(auto record, eventlog::decode_record(stored));
    if (record.seq <= state_.seq) {
        return bad_export("event " + std::to_string(record.seq) + " stands behind event " +
                          std::to_string(state_.seq));
    }
    check_chain(record, stored);
    auto fact = decode_record_fact(record);
    if (!fact) return at_event(record.seq, fact.error());
    apply_with_gaps(state_, record, *fact);
    if (job_of(record) != nullptr) check_job(record.stream.id, record.seq);
    if (const auto* system = std::get_if<SystemFact>(&*fact)) {
        if (const auto* digest = std::get_if<StateDigest>(system)) {
            check_job(digest->job, record.seq);
        }
    }
    return Step{std::move(record), std::move(*fact)};
}

const JobEntry* OfflineReplay::job_of(const eventlog::Record& record) const {
    return record.stream.kind == eventlog::StreamKind::job ? state_.find(record.stream.id)
                                                           : nullptr;
}

void OfflineReplay::find(std::string id, eventlog::Seq seq, std::string detail) {
    if (findings_.size() >= replay_findings_max) return;
    findings_.push_back({std::move(id), seq, std::move(detail)});
}

void OfflineReplay::check_chain(const eventlog::Record& record, ByteView stored) {
    if (eventlog::stored_hash(stored) != record.hash) {
        find("event_hash_wrong", record.seq, "its bytes are not those that its hash is of");
    }
    eventlog::StreamHead& head = heads_[record.stream];
    if (record.stream_seq != head.seq + 1 || record.prev_stream_hash != head.hash) {
        find("event_missing", record.seq,
             "it is not the next one of its stream: position " + std::to_string(record.stream_seq) +
                 " follows " + std::to_string(head.seq));
    }
    head = {record.stream_seq, record.hash};
}

void OfflineReplay::check_job(const JobId& id, eventlog::Seq seq) {
    const JobEntry* entry = state_.find(id);
    if (entry == nullptr || !entry->illegal || !illegal_.insert(id).second) return;
    find(entry->illegal->id(), seq, entry->illegal->detail());
}

Result<json::object> replay_export(const std::filesystem::path& file,
                                   std::optional<eventlog::Seq> until) {
    Run run(until);
    TRY_VOID(read_export(file, [&run](const ExportLine& line) { return run.line(line); }));
    return run.answer(file.string());
}

}  // namespace drover::history
