#include "orchestrator/restore.h"

#include "base/file.h"
#include "eventlog/copy.h"
#include "eventlog/rocksdb_log.h"
#include "history/state.h"
#include "orchestrator/json_reader.h"
#include "orchestrator/setup.h"
#include "statemachine/codec.h"
#include "statemachine/outstanding.h"
#include "wire/pki.h"

#include <algorithm>

#include <boost/json/parse.hpp>

namespace drover::orchestrator {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t key_bytes_max = 64U << 10;
constexpr std::size_t appends_per_batch = 1000;
constexpr const char* nothing_changed = "the backup; nothing was made";

Result<> check_epoch(const RestoreOptions& options) {
    eventlog::Epoch known = options.known_epoch;
    for (const Witness& seen : options.witnesses) known = std::max(known, seen.epoch);
    if (known < UINT32_MAX - restore_epoch_margin) return {};
    return Error(Errc::invalid, "witness_malformed",
                 "no agent can have seen epoch " + std::to_string(known), nothing_changed,
                 "give the epoch that drover-agent status shows");
}

/// An agent that obeyed more than the backup holds would refuse the restored log.
Result<> check_not_behind(const Manifest& manifest, const RestoreOptions& options) {
    for (const Witness& seen : options.witnesses) {
        const bool is_behind =
            seen.lineage != manifest.head.lineage || seen.seq > manifest.head.seq;
        if (!is_behind) continue;
        return Error(Errc::conflict, "backup_behind",
                     "an agent has obeyed event " + std::to_string(seen.seq) + " of lineage " +
                         uuid_text(seen.lineage) + "; the backup ends at event " +
                         std::to_string(manifest.head.seq) + " of lineage " +
                         uuid_text(manifest.head.lineage),
                     nothing_changed,
                     "restore the newest backup; if there is none, accept the loss: droverd "
                     "restore --from " +
                         options.from.string() + " --state " + options.state.string() +
                         " --accept-loss --reason TEXT --recovery-key FILE");
    }
    return {};
}

eventlog::Epoch next_epoch(const Manifest& manifest, const RestoreOptions& options) {
    eventlog::Epoch known = options.known_epoch;
    for (const Witness& seen : options.witnesses) known = std::max(known, seen.epoch);
    return std::max(manifest.head.epoch + restore_epoch_margin, known + 1);
}

/// Signed, and checked as the agents will check it.
Result<> sign_reset(LineageReset& reset, const AcceptedLoss& loss, const fs::path& backup) {
    if (loss.recovery_key_pem.empty()) return {};
    const Bytes message = lineage_reset_message(reset);
    TRY(reset.signature, wire::sign(loss.recovery_key_pem, message));
    const auto known = read_text(backup / "recovery.pub", key_bytes_max);
    if (!known && known.error().code() == Errc::not_found)
        return Error(Errc::denied, "recovery_key_wrong",
                     "this installation was made without a recovery key: no agent knows one",
                     nothing_changed, "restore with --without-recovery-key");
    if (!known) return known.error();
    if (wire::verify_signature(*known, message, reset.signature)) return {};
    return Error(Errc::denied, "recovery_key_wrong",
                 "the key is not the one that droverd init made for this installation",
                 nothing_changed, "find the recovery key that belongs to it");
}

Result<LineageReset> make_reset(const Manifest& manifest, const RestoreOptions& options,
                                Random& random, WallMicros now) {
    const AcceptedLoss& loss = *options.loss;
    const bool fits =
        loss.by.size() <= reset_text_bytes_max && loss.reason.size() <= reset_text_bytes_max;
    if (loss.reason.empty() || !fits)
        return Error(Errc::invalid, "restore_reason_missing",
                     "an accepted loss needs a reason of at most " +
                         std::to_string(reset_text_bytes_max) + " bytes",
                     nothing_changed, "say with --reason why the newer events are given up");
    LineageReset reset;
    reset.old_lineage = manifest.head.lineage;
    reset.old_head_seq = manifest.head.seq;
    reset.old_head_hash = manifest.head.hash;
    reset.old_epoch = manifest.head.epoch;
    reset.new_lineage = random.uuid();
    reset.new_epoch = next_epoch(manifest, options);
    reset.at_micros = now;
    reset.by = loss.by;
    reset.reason = loss.reason;
    TRY_VOID(sign_reset(reset, loss, options.from));
    return reset;
}

/// Not at its end, or its end is still to be carried out: its hosts may have moved on. What is left
/// alone now may be understood by a later version.
bool is_open(const history::JobEntry& entry) {
    const statemachine::Job& job = entry.job;
    if (!job.exists) return false;
    return entry.illegal || !statemachine::is_final(job.phase) || job.reconciling ||
           job.quarantined || !statemachine::outstanding(job).empty();
}

eventlog::Append append_of(const eventlog::EventLog& log, const eventlog::StreamId& stream,
                           eventlog::NewEvent event, const std::string& actor) {
    event.actor = actor;
    eventlog::Append append;
    append.stream = stream;
    append.expected_stream_seq = log.stream_head(stream).seq;
    append.events.push_back(std::move(event));
    return append;
}

eventlog::NewEvent started(const history::JobEntry& entry, eventlog::Seq old_head_seq) {
    // Of two restores the first decides what the log cannot know.
    if (entry.job.reconciling)
        old_head_seq = std::min(old_head_seq, entry.job.reconciling->old_head_seq);
    const statemachine::Event fact = statemachine::ReconcileStarted{old_head_seq};
    eventlog::NewEvent event;
    event.kind = static_cast<std::uint16_t>(statemachine::kind_of(fact));
    event.payload = statemachine::encode_event(fact);
    return event;
}

/// The reset first, if there is one, then what the restore means for each job that is not over. The
/// directory has no name yet, so all of it counts or nothing.
Result<std::vector<std::string>> append_restore(eventlog::EventLog& log, const Manifest& manifest,
                                                const std::optional<LineageReset>& reset,
                                                const history::State& state, WallMicros now) {
    const std::string by = reset ? reset->by : "system";
    const eventlog::Epoch epoch = reset ? reset->new_epoch : manifest.head.epoch;
    std::vector<eventlog::Append> batch;
    if (reset)
        batch.push_back(
            append_of(log, {}, history::new_event(history::LineageChanged{*reset}), by));
    std::vector<std::string> names;
    const auto flush = [&]() -> Result<> {
        const auto result = log.append(batch, epoch, now);
        batch.clear();
        if (result.outcome != eventlog::AppendOutcome::ok) return result.error;
        return {};
    };
    for (const auto& [id, entry] : state.jobs) {
        if (!is_open(entry)) continue;
        names.push_back(entry.job.spec.name);
        batch.push_back(
            append_of(log, {eventlog::StreamKind::job, id}, started(entry, manifest.head.seq), by));
        if (batch.size() >= appends_per_batch) TRY_VOID(flush());
    }
    if (!batch.empty()) TRY_VOID(flush());
    return names;
}

Result<history::State> fold(const fs::path& log_path) {
    history::State state;
    std::optional<Error> failure;
    TRY_VOID(eventlog::read_log_directory(log_path, [&](const eventlog::Record& record) {
        const auto fact = history::decode_record_fact(record);
        if (!fact) {
            failure = fact.error();
            return false;
        }
        history::apply(state, record, *fact);
        return true;
    }));
    if (failure) return *failure;
    return state;
}

/// What was copied goes on as the log that agents are asked about.
Result<> go_on(const fs::path& directory, const Manifest& manifest, WallMicros now,
               Restored& restored) {
    const fs::path path = log_directory(directory);
    TRY(const history::State state, fold(path));
    if (const auto& reset = restored.reset)
        TRY_VOID(eventlog::begin_lineage(path, reset->new_lineage, reset->new_epoch));
    TRY(const auto log, eventlog::open_rocksdb_log(path, {.ballast_bytes = 0}));
    TRY(restored.jobs, append_restore(*log, manifest, restored.reset, state, now));
    TRY_VOID(log->sync_head());
    restored.head = log->head();
    return {};
}

/// The log is copied as a log, so that the new one is checked and shares nothing.
Result<> copy_the_log(const Manifest& manifest, const fs::path& from, const fs::path& to) {
    TRY_VOID(remove_directory_durably(to));
    TRY_VOID(make_directory_durably(to));
    TRY(const auto head, eventlog::copy_log(log_directory(from), log_directory(to)));
    if (head.seq == manifest.head.seq && head.hash == manifest.head.hash) return {};
    return Error(Errc::corrupt, "backup_differs", "the log changed while it was read",
                 nothing_changed, "restore again");
}

/// Last: without its keys no droverd runs on a directory whose log is not finished.
Result<> copy_the_rest(const Manifest& manifest, const fs::path& from, const fs::path& to) {
    for (const BackupFile& file : manifest.files) {
        const bool is_known =
            std::count(key_files().begin(), key_files().end(), file.path) != 0 ||
            std::count(optional_files().begin(), optional_files().end(), file.path) != 0;
        if (is_known) TRY_VOID(copy_state_file(from, to, file.path));
    }
    return {};
}

Result<> refuse_used(const fs::path& state) {
    std::error_code failure;
    const bool exists = fs::exists(state, failure);
    if (!failure && (!exists || fs::is_empty(state, failure)) && !failure) return {};
    return Error(Errc::conflict, "state_not_empty", state.string() + " is not an empty directory",
                 "nothing in it was changed", "restore into a directory that does not exist yet");
}

}  // namespace

Result<Restored> restore(const RestoreOptions& options, Random& random, WallMicros now) {
    const fs::path state = plain_path(options.state);
    TRY_VOID(refuse_used(state));
    TRY_VOID(check_epoch(options));
    TRY(const Manifest manifest, check_backup(options.from));
    Restored restored{.head = manifest.head, .reset = std::nullopt, .jobs = {}};
    if (options.loss) {
        TRY(restored.reset, make_reset(manifest, options, random, now));
    } else {
        TRY_VOID(check_not_behind(manifest, options));
    }
    const fs::path unfinished = state.string() + ".restoring";
    TRY_VOID(copy_the_log(manifest, options.from, unfinished));
    TRY_VOID(go_on(unfinished, manifest, now, restored));
    TRY_VOID(copy_the_rest(manifest, options.from, unfinished));
    std::error_code failure;
    fs::remove(state, failure);  // an empty directory that was made for us
    if (!failure) fs::rename(unfinished, state, failure);
    if (failure) return errno_error(failure.value(), "rename", unfinished.string());
    TRY_VOID(sync_directory(state.parent_path()));
    return restored;
}

Result<Witness> read_witness(std::string_view text) {
    const auto malformed = [] {
        return Error(Errc::invalid, "witness_malformed",
                     "a witness is what drover-agent status -o json prints", nothing_changed,
                     "save that output of the agent in a file");
    };
    boost::system::error_code failed;
    const boost::json::value parsed =
        boost::json::parse(boost::json::string_view(text.data(), text.size()), failed);
    const boost::json::object* object = failed ? nullptr : parsed.if_object();
    if (object == nullptr) return malformed();
    const auto* lineage = object->if_contains("lineage");
    const auto* epoch = object->if_contains("epoch");
    const auto* seq = object->if_contains("seq");
    if (!lineage || !lineage->is_string() || !epoch || !epoch->is_int64() || !seq ||
        !seq->is_int64() || epoch->as_int64() < 0 || epoch->as_int64() > INT32_MAX ||
        seq->as_int64() < 0)
        return malformed();
    const auto id =
        uuid_from_text(std::string_view(lineage->as_string().data(), lineage->as_string().size()));
    if (!id) return malformed();
    Witness witness;
    witness.lineage = *id;
    witness.epoch = static_cast<std::uint32_t>(epoch->as_int64());
    witness.seq = static_cast<std::uint64_t>(seq->as_int64());
    return witness;
}

}  // namespace drover::orchestrator
