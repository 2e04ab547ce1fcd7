// Histories that were written by a release, and what they led to after each event. A log lives for
// years: whoever changes what evolve makes of an old event is told which event and which field.
//
//   tests/golden/histories/NAME.jsonl    the export of a whole log
//   tests/golden/histories/NAME.states   after each event of a job: its digest, and the fields that
//                                        it changed
//
// The files are never changed. A new life (golden_lives.cc) is written by
//   golden_histories_test "[write-golden]"
// which leaves existing files alone.
#include "base/file.h"
#include "eventlog/merkle.h"
#include "golden_lives.h"
#include "history/difference.h"
#include "history/fact_json.h"
#include "history/log_export.h"
#include "history/offline_replay.h"
#include "statemachine/evolve.h"
#include "statemachine/state_digest.h"

#include <filesystem>
#include <sstream>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path golden_folder = fs::path(DROVER_SOURCE_DIR) / "tests" / "golden" / "histories";
constexpr std::size_t file_bytes_max = 4U << 20;

/// What one event did to a job, in the lines of a states file. Fields that have the value of a new
/// job are left out, so that a field that comes later changes no old file.
std::string step_text(const JobEntry& before, const JobEntry& after, const eventlog::Record& record,
                      const Fact& fact) {
    const auto state_of = [](const statemachine::Job& job) {
        return json::parse(statemachine::job_text(job));
    };
    std::ostringstream out;
    const auto digest = statemachine::state_digest(after.job, 1);
    out << record.seq << " " << name_of(fact) << " state-1 " << digest.value().hex() << "\n";
    for (const FieldChange& change : changes(state_of(before.job), state_of(after.job))) {
        out << "  " << change.path << ": " << change.from.value_or("nothing") << " -> "
            << change.to.value_or("nothing") << "\n";
    }
    if (after.illegal) out << "  illegal: " << after.illegal->text() << "\n";
    return out.str();
}

/// The states file that the present code makes of an export.
std::string states_of(const fs::path& file) {
    std::string out;
    std::optional<OfflineReplay> replay;
    const auto read = read_export(file, [&](const ExportLine& line) -> Result<bool> {
        if (const auto* header = std::get_if<ExportHeader>(&line)) replay.emplace(header->lineage);
        const auto* event = std::get_if<ExportEvent>(&line);
        if (event == nullptr) return true;
        const State before = replay->state();
        TRY(const auto step, replay->take(event->stored));
        const JobEntry* after = replay->job_of(step.record);
        if (after == nullptr) return true;
        const JobEntry* old = before.find(after->job.id);
        out += step_text(old ? *old : JobEntry{}, *after, step.record, step.fact);
        return true;
    });
    INFO(file);
    REQUIRE(read);
    REQUIRE(replay);
    for (const ReplayFinding& finding : replay->findings()) {
        FAIL_CHECK(finding.id << " at seq " << finding.seq << ": " << finding.detail);
    }
    return out;
}

/// What one event did, as a states file has it.
struct Block {
    std::string event;  ///< "17 SourceFenced"
    std::string digest;
    std::vector<std::string> fields;
};

std::vector<Block> blocks_of(const std::string& text) {
    std::vector<Block> blocks;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(' ')) {
            blocks.back().fields.push_back(line);
        } else {
            const std::size_t end = line.find(" state-1 ");
            blocks.push_back({line.substr(0, end), line.substr(end), {}});
        }
    }
    return blocks;
}

std::string differs(const std::string& event, const std::string& was, const std::string& is) {
    return "after event " + event + ": it was \"" + was + "\", now \"" + is + "\"";
}

/// Where the two part: after which event, in which field. Empty if they are the same.
std::string parting(const std::string& golden, const std::string& present) {
    const auto was = blocks_of(golden);
    const auto is = blocks_of(present);
    for (std::size_t i = 0; i < std::min(was.size(), is.size()); ++i) {
        if (was[i].event != is[i].event) return differs(was[i].event, was[i].event, is[i].event);
        const std::size_t fields = std::max(was[i].fields.size(), is[i].fields.size());
        for (std::size_t f = 0; f < fields; ++f) {
            const std::string before = f < was[i].fields.size() ? was[i].fields[f] : "";
            const std::string now = f < is[i].fields.size() ? is[i].fields[f] : "";
            if (before != now) return differs(was[i].event, before, now);
        }
        if (was[i].digest != is[i].digest)
            return differs(was[i].event, was[i].digest, is[i].digest);
    }
    if (was.size() == is.size()) return {};
    return std::to_string(was.size()) + " events, now " + std::to_string(is.size());
}

std::string read(const fs::path& file) {
    const auto text = read_text(file, file_bytes_max);
    INFO(file);
    REQUIRE(text);
    return *text;
}

/// The export of the whole log, with one anchor of a key that everybody knows.
std::string export_of(const eventlog::EventLog& log) {
    std::vector<Hash> hashes;
    REQUIRE(log.read(1, [&hashes](const eventlog::Record& record) {
        hashes.push_back(record.hash);
        return true;
    }));
    const eventlog::Head head = log.head();
    eventlog::Anchor anchor;
    anchor.lineage = head.lineage;
    anchor.first_seq = 1;
    anchor.last_seq = head.seq;
    anchor.last_hash = head.hash;
    anchor.merkle_root = eventlog::MerkleTree(hashes).root();
    anchor.epoch = head.epoch;
    anchor.wall_micros = head.wall_micros;
    const SigningSeed seed(Hash{});
    eventlog::sign_anchor(anchor, seed);
    auto pages = LogExport::start(log, {anchor}, seed, {{}, {}, "drover", head.wall_micros});
    REQUIRE(pages);
    std::string text;
    while (true) {
        const auto page = pages->next();
        REQUIRE(page);
        text += page->text;
        if (page->is_last) return text;
    }
}

void write_new(const fs::path& file, const std::string& text) {
    if (fs::exists(file)) return;
    REQUIRE(write_file_durably(file, as_bytes(text), 0644));
    WARN("written: " << file);
}

}  // namespace

TEST_CASE("golden histories: every event leads to the state that it led to when it was written") {
    std::size_t count = 0;
    for (const auto& file : fs::directory_iterator(golden_folder)) {
        if (file.path().extension() != ".jsonl") continue;
        INFO(file.path().filename());
        ++count;
        fs::path states = file.path();
        states.replace_extension(".states");
        CHECK(parting(read(states), states_of(file.path())) == "");
    }
    CHECK(count >= golden_lives().size());
}

TEST_CASE("golden histories: a state that differs is named with its event and its field") {
    const std::string golden = read(golden_folder / "committed.states");
    const std::size_t at = golden.find("  phase: \"fencing\" -> \"draining\"");
    REQUIRE(at != std::string::npos);
    std::string other = golden;
    other.replace(at, 5, "  face");
    const std::string field = parting(golden, other);
    INFO(field);
    CHECK(field.find("SourceFenced") != std::string::npos);
    CHECK(field.find("phase") != std::string::npos);
    // A change that no field shows is seen by the digest.
    other = golden;
    other[golden.find(" state-1 ") + 9] ^= 1;
    CHECK(parting(golden, other).find("JobPlanned") != std::string::npos);
    CHECK(parting(golden, golden).empty());
}

TEST_CASE("golden histories: several digests of state stand in them and are compared") {
    const auto answer = replay_export(golden_folder / "long-and-restless.jsonl", std::nullopt);
    REQUIRE(answer);
    CHECK(answer->at("ok").as_bool());
    std::size_t digests = 0;
    for (const auto& fact : answer->at("timeline").as_array()) {
        if (fact.at("event").as_string() == "StateDigest") ++digests;
    }
    CHECK(digests >= 2);
}

TEST_CASE("write the golden histories that are not there yet", "[.][write-golden]") {
    for (const Life& life : golden_lives()) {
        World world;
        life.happen(world);
        const fs::path file = golden_folder / (life.name + ".jsonl");
        write_new(file, export_of(world.log));
        fs::path states = file;
        states.replace_extension(".states");
        write_new(states, states_of(file));
    }
}

}  // namespace drover::orchestrator::testing
