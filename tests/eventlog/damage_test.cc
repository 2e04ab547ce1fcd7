/// What media damage does to a log: it opens with everything that was acknowledged before the last
/// head sync, or refuses with a named reason. It never opens shorter.
#include "base/file.h"
#include "base/log.h"
#include "eventlog/audit.h"
#include "eventlog/head_file.h"
#include "eventlog/rocksdb_log.h"
#include "eventlog/table_guard.h"
#include "tests/eventlog/log_testing.h"

#include <algorithm>
#include <fstream>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr WallMicros noon = 1'700'000'000'000'000;
constexpr Seq events_count = 200;
constexpr Seq head_synced_early = 150;

Result<std::unique_ptr<EventLog>> open_log(const fs::path& directory) {
    return open_rocksdb_log(directory, OpenOptions{.ballast_bytes = 0});
}

/// 200 events that all lie in the write-ahead log. `head_synced` is what the head file says.
void build(const fs::path& directory, Seq head_synced) {
    REQUIRE(create_rocksdb_log(directory, uuid(1)));
    auto log = open_log(directory);
    REQUIRE(log);
    REQUIRE((*log)->raise_epoch(noon));
    for (Seq seq = 1; seq <= events_count; ++seq) {
        Append append = append_to(job(static_cast<std::uint8_t>(seq % 3)), 0);
        append.expected_stream_seq = (*log)->stream_head(append.stream).seq;
        append.answer = CommandAnswer{uuid(static_cast<std::uint8_t>(seq)), digest(1), {9}};
        append.events[0].payload.resize(100 + seq);
        REQUIRE((*log)->append(std::span(&append, 1), 1, noon).outcome == AppendOutcome::ok);
        if (seq == head_synced) REQUIRE((*log)->sync_head());
    }
}

/// A copy of a pristine log, to be damaged.
class Patient {
  public:
    explicit Patient(const fs::path& pristine) {
        fs::copy(pristine, directory_.path() / "log", fs::copy_options::recursive);
    }

    [[nodiscard]] fs::path path() const { return directory_.path() / "log"; }

    /// The largest file in the database with this extension.
    [[nodiscard]] fs::path file(const std::string& extension) const {
        fs::path largest;
        for (const auto& entry : fs::directory_iterator(path() / "rocksdb"))
            if (entry.path().extension() == extension &&
                (largest.empty() || entry.file_size() > fs::file_size(largest)))
                largest = entry.path();
        REQUIRE_FALSE(largest.empty());
        return largest;
    }

    void flip_bit(const fs::path& file, std::uintmax_t at) const {
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekg(static_cast<std::streamoff>(at));
        const int byte = stream.get();
        stream.seekp(static_cast<std::streamoff>(at));
        stream.put(static_cast<char>(byte ^ 1));
        REQUIRE(stream.good());
    }

    void flip_middle(const fs::path& file) const { flip_bit(file, fs::file_size(file) / 2); }

    [[nodiscard]] Result<std::unique_ptr<EventLog>> open() const { return open_log(path()); }

    /// The id of the refusal, "" when it opens.
    [[nodiscard]] std::string refusal() const {
        const auto log = open();
        if (log) return "";
        CHECK(log.error().code() == Errc::corrupt);
        CHECK_FALSE(log.error().kept().empty());
        CHECK(log.error().next().find("restore the log directory") != std::string::npos);
        return log.error().id();
    }

  private:
    TemporaryDirectory directory_;
};

/// Logs that are built once for all cases.
struct Pristine {
    TemporaryDirectory in_wal;      ///< head file at 200
    TemporaryDirectory head_early;  ///< head file at 150
    TemporaryDirectory in_tables;   ///< everything in table files
    std::vector<Record> events;

    Pristine() {
        log::set_level(log::Level::error);
        build(in_wal.path(), events_count);
        build(head_early.path(), head_synced_early);
        build(in_tables.path(), events_count);
        auto log = open_log(in_tables.path());  // opening rolls the write-ahead log into tables
        REQUIRE(log);
        events = all_events(**log);
        REQUIRE(events.size() == events_count);
    }
};

const Pristine& pristine() {
    static const Pristine built;
    return built;
}

/// Ends of whole records in a RocksDB write-ahead log: blocks of 32 KiB; a piece is crc32 (4
/// bytes), length (2), type (1: whole, 2: first, 3: middle, 4: last), data.
std::vector<std::uintmax_t> record_ends(const fs::path& wal) {
    constexpr std::size_t block = 32768;
    constexpr std::size_t piece_header = 7;
    const auto bytes = read_file(wal);
    REQUIRE(bytes);
    std::vector<std::uintmax_t> ends;
    std::size_t at = 0;
    while (at + piece_header <= bytes->size()) {
        if (block - at % block < piece_header) {
            at += block - at % block;
            continue;
        }
        const std::uint8_t type = (*bytes)[at + 6];
        at += piece_header + get_u16(*bytes, at + 4);
        if (type == 1 || type == 4) ends.push_back(at);
    }
    return ends;
}

/// The rule of this file, for a damage of which only the place is known.
void check_rule(const Patient& patient, Seq head_synced, const std::string& damage) {
    INFO(damage);
    const auto audited = verify_log_directory(patient.path());
    const auto log = patient.open();
    if (!log) {
        CHECK_FALSE(log.error().id().empty());
        CHECK_FALSE((audited && audited->whole()));
        return;
    }
    CHECK(audited->whole());
    const Seq last = (*log)->head().seq;
    CHECK(last >= head_synced);
    const auto events = all_events(**log);
    CHECK(std::equal(events.begin(), events.end(), pristine().events.begin()));
}

TEST_CASE("damage: an undamaged copy opens with everything", "[damage]") {
    for (const auto* directory :
         {&pristine().in_wal, &pristine().head_early, &pristine().in_tables}) {
        const Patient patient(directory->path());
        CHECK(verify_log_directory(patient.path())->whole());
        const auto log = patient.open();
        REQUIRE(log);
        CHECK(all_events(**log) == pristine().events);
    }
}

TEST_CASE("damage: a torn last record is refused when it was head-synced", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    const auto wal = patient.file(".log");
    fs::resize_file(wal, fs::file_size(wal) - 5);
    const auto log = patient.open();
    REQUIRE_FALSE(log);
    CHECK(log.error().id() == "log_shorter_than_head");
    CHECK(log.error().detail().find("199") != std::string::npos);
    CHECK(log.error().detail().find("200") != std::string::npos);
    CHECK(log.error().next().find("after event 200") != std::string::npos);
}

TEST_CASE("damage: a torn last record after the last head sync is dropped", "[damage]") {
    const Patient patient(pristine().head_early.path());
    const auto wal = patient.file(".log");
    fs::resize_file(wal, fs::file_size(wal) - 5);
    const auto log = patient.open();
    REQUIRE(log);
    CHECK((*log)->head().seq == events_count - 1);
}

/// Zeros for a part of the last write, at its full length: sectors that did not reach the device.
void zero_inside_last_record(const fs::path& wal) {
    const auto ends = record_ends(wal);
    std::fstream stream(wal, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(ends.at(ends.size() - 2) + 100));
    stream << std::string(50, '\0');
    REQUIRE(stream.good());
}

TEST_CASE("damage: a last write with a hole is dropped, unless it was head-synced", "[damage]") {
    const Patient young(pristine().head_early.path());
    zero_inside_last_record(young.file(".log"));
    CHECK(verify_log_directory(young.path())->whole());
    const auto log = young.open();
    REQUIRE(log);
    CHECK((*log)->head().seq == events_count - 1);

    const Patient known(pristine().in_wal.path());
    zero_inside_last_record(known.file(".log"));
    CHECK(known.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: a hole before the last write is damage, however young", "[damage]") {
    const Patient patient(pristine().head_early.path());
    const auto wal = patient.file(".log");
    const auto ends = record_ends(wal);
    patient.flip_bit(wal, ends.at(ends.size() - 3) + 100);
    CHECK(patient.refusal() == "log_damaged");
}

TEST_CASE("damage: an older write-ahead log that is missing is refused", "[damage]") {
    // The newer one holds nothing: a start that was killed after it had made it.
    const Patient patient(pristine().in_wal.path());
    const auto wal = patient.file(".log");
    std::ofstream(wal.parent_path() / "000099.log");
    REQUIRE(patient.open());
    const Patient without(pristine().in_wal.path());
    std::ofstream(without.file(".log").parent_path() / "000099.log");
    fs::remove(without.file(".log"));
    CHECK(without.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: the bit of a table at which RocksDB would abort is refused by name",
          "[damage]") {
    const Patient patient(pristine().in_tables.path());
    const auto table = patient.file(".sst");
    const auto bytes = read_file(table);
    REQUIRE(bytes);
    const auto index = meta_index_extent(ByteView(*bytes).last(53));
    REQUIRE(index);
    const auto properties = properties_extent(ByteView(*bytes).subspan(index->at, index->size));
    REQUIRE(properties);
    std::fstream stream(table, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(properties->at + properties->size - 1));
    stream.put(static_cast<char>(0x80));
    stream.close();
    CHECK(patient.refusal() == "log_damaged");
    CHECK(verify_log_directory(patient.path()).error().id() == "log_damaged");
}

TEST_CASE("damage: garbage behind the last record is ignored", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    std::ofstream(patient.file(".log"), std::ios::app | std::ios::binary) << std::string(200, 'x');
    const auto log = patient.open();
    if (log) CHECK((*log)->head().seq == events_count);
    if (!log) CHECK(log.error().id() == "log_damaged");
}

TEST_CASE("damage: a bit flipped in the middle of the write-ahead log is refused", "[damage]") {
    const Patient patient(pristine().head_early.path());
    patient.flip_middle(patient.file(".log"));
    CHECK(patient.refusal() == "log_damaged");
    const auto audited = verify_log_directory(patient.path());
    REQUIRE(audited);
    CHECK(audited->findings.at(0).id == "log_damaged");
    CHECK(audited->first_bad_seq() > 50);
    CHECK(audited->first_bad_seq() < head_synced_early);
    CHECK(audited->last_seq == events_count);  // behind the damage the audit reads on
    CHECK(audited->events < events_count);
}

TEST_CASE("damage: a write-ahead log cut on a record boundary is refused", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    const auto wal = patient.file(".log");
    const auto ends = record_ends(wal);
    REQUIRE(ends.size() == events_count + 1);  // the epoch came first
    fs::resize_file(wal, ends.at(100));
    const auto audited = verify_log_directory(patient.path());
    REQUIRE(audited);
    CHECK(audited->last_seq == 100);
    CHECK(audited->first_bad_seq() == 101);
    CHECK(patient.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: after the head sync a cut is seen only as far back as the head", "[damage]") {
    // The documented window: acknowledged events younger than the last head sync can be cut unseen.
    const Patient inside(pristine().head_early.path());
    fs::resize_file(inside.file(".log"), record_ends(inside.file(".log")).at(170));
    const auto log = inside.open();
    REQUIRE(log);
    CHECK((*log)->head().seq == 170);
    const Patient outside(pristine().head_early.path());
    fs::resize_file(outside.file(".log"), record_ends(outside.file(".log")).at(149));
    CHECK(outside.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: a removed write-ahead log is refused", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    fs::remove(patient.file(".log"));
    const auto log = patient.open();
    REQUIRE_FALSE(log);
    CHECK(log.error().id() == "log_shorter_than_head");
    CHECK(log.error().detail().find("event 0") != std::string::npos);
    CHECK(log.error().detail().find("200") != std::string::npos);
}

TEST_CASE("damage: a removed database is not an empty log", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    fs::remove_all(patient.path() / "rocksdb");
    CHECK(patient.refusal() == "log_shorter_than_head");
    CHECK(create_rocksdb_log(patient.path(), uuid(2)).error().id() == "log_exists");
}

TEST_CASE("damage: a log without a head file is refused", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    fs::remove(patient.path() / "HEAD");
    CHECK(patient.refusal() == "head_file_damaged");
    CHECK(verify_log_directory(patient.path())->findings.at(0).id == "head_file_damaged");
}

TEST_CASE("damage: one damaged slot of the head file is survived, two are not", "[damage]") {
    for (const std::uintmax_t slot : {0U, 4096U}) {
        const Patient patient(pristine().in_wal.path());
        patient.flip_bit(patient.path() / "HEAD", slot + 50);
        const auto log = patient.open();
        REQUIRE(log);
        CHECK((*log)->head().seq == events_count);
    }
    const Patient patient(pristine().in_wal.path());
    patient.flip_bit(patient.path() / "HEAD", 50);
    patient.flip_bit(patient.path() / "HEAD", 4096 + 50);
    CHECK(patient.refusal() == "head_file_damaged");
}

TEST_CASE("damage: a head file that is behind is rolled forward, one that is ahead refuses",
          "[damage]") {
    const Patient behind(pristine().head_early.path());
    CHECK(HeadFile::read(behind.path() / "HEAD").value()->seq == head_synced_early);
    REQUIRE(behind.open());
    CHECK(HeadFile::read(behind.path() / "HEAD").value()->seq == events_count);

    const Patient ahead(pristine().in_wal.path());
    auto file = HeadFile::open(ahead.path() / "HEAD");
    Head head{uuid(1), events_count + 1, digest(1), 1, 0};
    REQUIRE(file->write(head));
    CHECK(ahead.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: a head file of another history, lineage or epoch refuses", "[damage]") {
    const Patient rewritten(pristine().in_wal.path());
    REQUIRE(HeadFile::open(rewritten.path() / "HEAD")
                ->write(Head{uuid(1), events_count, digest(1), 1, 0}));
    CHECK(rewritten.refusal() == "log_differs_from_head");
    CHECK(verify_log_directory(rewritten.path())->first_bad_seq() == events_count);

    const Patient other(pristine().in_wal.path());
    REQUIRE(HeadFile::create(other.path() / "HEAD", uuid(2)));
    CHECK(other.refusal() == "log_lineage_differs");

    const Patient older(pristine().in_wal.path());
    const auto slot = HeadFile::read(older.path() / "HEAD").value();
    REQUIRE(HeadFile::open(older.path() / "HEAD")
                ->write(Head{uuid(1), slot->seq, slot->hash, slot->epoch + 1, 0}));
    CHECK(older.refusal() == "log_epoch_behind_head");
}

TEST_CASE("damage: a refusal changes nothing in the database", "[damage]") {
    const Patient patient(pristine().in_wal.path());
    const auto wal = patient.file(".log");
    fs::resize_file(wal, record_ends(wal).at(100));
    const auto listing = [&] {
        std::vector<std::pair<std::string, std::uintmax_t>> files;
        for (const auto& entry : fs::directory_iterator(patient.path() / "rocksdb"))
            files.emplace_back(entry.path().filename(), entry.file_size());
        std::sort(files.begin(), files.end());
        return files;
    };
    const auto before = listing();
    REQUIRE(verify_log_directory(patient.path()));
    CHECK(patient.refusal() == "log_shorter_than_head");
    CHECK(listing() == before);
    CHECK(patient.refusal() == "log_shorter_than_head");
}

TEST_CASE("damage: a bit flipped in a table is refused and the audit names the event", "[damage]") {
    const Patient patient(pristine().in_tables.path());
    patient.flip_middle(patient.file(".sst"));
    CHECK(patient.refusal() == "log_damaged");
    const auto audited = verify_log_directory(patient.path());
    REQUIRE(audited);
    CHECK(audited->first_bad_seq() == audited->last_seq + 1);
}

TEST_CASE("damage: a bit flipped anywhere is harmless or refused", "[damage]") {
    constexpr std::uintmax_t flips_per_file = 16;
    for (const auto* base : {&pristine().in_wal, &pristine().in_tables}) {
        std::vector<fs::path> files = {"HEAD"};
        for (const auto& entry : fs::directory_iterator(base->path() / "rocksdb")) {
            const std::string name = entry.path().filename();
            if (!name.starts_with("LOG") && !name.starts_with("OPTIONS") && entry.file_size() > 0)
                files.push_back(fs::path("rocksdb") / name);
        }
        for (const auto& file : files) {
            const auto size = fs::file_size(base->path() / file);
            const auto step = std::max<std::uintmax_t>(1, size / flips_per_file);
            for (std::uintmax_t at = step / 2; at < size; at += step) {
                const Patient patient(base->path());
                patient.flip_bit(patient.path() / file, at);
                check_rule(patient, events_count, file.native() + " bit " + std::to_string(at));
            }
        }
    }
}

TEST_CASE("damage: a write-ahead log cut anywhere is refused or loses nothing head-synced",
          "[damage]") {
    const fs::path base = pristine().head_early.path();
    const auto ends = record_ends(Patient(base).file(".log"));
    for (std::size_t record = 0; record < ends.size(); record += 13)
        for (const int beside : {-1, 0, 1}) {
            const Patient patient(base);
            const auto wal = patient.file(".log");
            const auto length = ends[record] + static_cast<std::uintmax_t>(beside);
            if (length > fs::file_size(wal)) continue;
            fs::resize_file(wal, length);
            check_rule(patient, head_synced_early, "cut at " + std::to_string(length));
        }
}

}  // namespace
}  // namespace drover::eventlog
