// A log directory against its anchors: what a chain alone sees, and what only an anchor sees.
#include "eventlog/rocksdb_layout.h"
#include "eventlog/rocksdb_log.h"
#include "eventlog/rocksdb_store.h"
#include "tests/history/audit_lab.h"

namespace {

using namespace drover;
using namespace drover::history::testing;
using eventlog::AuditReport;
using eventlog::Column;
using eventlog::KnownAnchors;
using eventlog::RocksStore;

constexpr std::size_t rounds = 20;

/// A log on disk of three jobs, closed.
class Patient {
  public:
    explicit Patient(Seq changed = 0, std::size_t rounds_made = rounds) {
        REQUIRE(eventlog::create_rocksdb_log(path(), eventlog::testing::uuid(9)));
        auto log = eventlog::open_rocksdb_log(path(), {0});
        REQUIRE(log);
        fill(**log, rounds_made, changed);
        REQUIRE((*log)->sync_head());
        records_ = eventlog::testing::all_events(**log);
        anchors_ = anchors_of(**log, 16);
        forged_ = anchors_of(**log, 16, seed(2));
    }

    [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "log"; }

    [[nodiscard]] const std::vector<Anchor>& anchors() const { return anchors_; }

    [[nodiscard]] const std::vector<Anchor>& forged() const { return forged_; }

    [[nodiscard]] const std::vector<Record>& records() const { return records_; }

    void overwrite(Seq seq, const Bytes& stored) const {
        auto store = RocksStore::open(path() / "rocksdb", RocksStore::Access::read_write);
        REQUIRE(store);
        const RocksStore::Put put{Column::events, eventlog::event_key(seq), stored};
        REQUIRE((*store)->write(std::span(&put, 1)));
    }

    [[nodiscard]] AuditReport audited(const std::vector<Anchor>& anchors,
                                      std::set<Hash> trusted = {}) const {
        const auto report =
            eventlog::verify_log_directory(path(), KnownAnchors{{{"elsewhere", anchors}}, trusted});
        REQUIRE(report);
        return *report;
    }

  private:
    eventlog::testing::TemporaryDirectory directory_{eventlog::testing::fast_directory()};
    std::vector<Record> records_;
    std::vector<Anchor> anchors_;
    std::vector<Anchor> forged_;
};

}  // namespace

TEST_CASE(
    "directory: a log that is whole holds every anchor, and the report says what they cover") {
    const Patient patient;
    const AuditReport report = patient.audited(patient.anchors());
    CHECK(report.findings.empty());
    CHECK(report.anchors.covered_to == 60);
    REQUIRE(report.anchors.covers.size() == 4);
    for (const auto& cover : report.anchors.covers) CHECK(cover.holds);
    std::vector<Anchor> gap = patient.anchors();
    gap.erase(gap.begin() + 1);
    CHECK(patient.audited(gap).anchors.covered_to == 16);
    CHECK(patient.audited(gap).whole());
}

TEST_CASE("directory: a changed record is named, with and without its hash made to fit") {
    const Patient plain;
    Bytes stored = encode_record(plain.records()[24]);
    stored[120] ^= 1;
    plain.overwrite(25, stored);
    CHECK(plain.audited(plain.anchors()).first_bad_seq() == 25);
    CHECK(has(plain.audited(plain.anchors()).findings, "event_damaged"));
    CHECK(plain.audited({}).first_bad_seq() == 25);

    const Patient fitted;
    Record record = fitted.records()[24];
    record.payload.back() ^= 1;
    record.hash = record_hash(record);
    fitted.overwrite(25, encode_record(record));
    CHECK(fitted.audited({}).first_bad_seq() == 26);  // the chain sees it one later
    const AuditReport report = fitted.audited(fitted.anchors());
    CHECK(has(report.findings, "log_contradicts_anchor"));
    CHECK(report.first_bad_seq() == 17);
}

TEST_CASE("directory: two records that changed places are named") {
    const Patient patient;
    patient.overwrite(30, encode_record(patient.records()[30]));
    patient.overwrite(31, encode_record(patient.records()[29]));
    CHECK(patient.audited({}).first_bad_seq() == 30);
    CHECK_FALSE(patient.audited(patient.anchors()).whole());
}

TEST_CASE("directory: a log cut to a valid shorter one contradicts its anchors") {
    const Patient whole;
    const Patient shorter(0, 10);
    CHECK(shorter.audited({}).whole());
    const AuditReport report = shorter.audited(whole.anchors());
    CHECK(has(report.findings, "log_shorter_than_anchor"));
    CHECK(report.first_bad_seq() == 31);
}

TEST_CASE("directory: a log rewritten as a whole contradicts its anchors") {
    const Patient original;
    const Patient rewritten(20);
    CHECK(rewritten.audited({}).whole());
    CHECK(rewritten.audited(rewritten.anchors()).whole());
    const AuditReport report = rewritten.audited(original.anchors());
    CHECK(has(report.findings, "log_contradicts_anchor"));
    CHECK(report.first_bad_seq() == 17);
    REQUIRE(report.anchors.covers.size() == 4);
    CHECK(report.anchors.covers[0].holds);
    CHECK_FALSE(report.anchors.covers[1].holds);
    CHECK_FALSE(report.anchors.covers[3].holds);
}

TEST_CASE("directory: anchors of another key, damaged or out of their chain are named") {
    const Patient patient;
    const std::set<Hash> trusted{key_fingerprint(seed().public_key())};
    CHECK(patient.audited(patient.anchors(), trusted).whole());
    CHECK(has(patient.audited(patient.forged(), trusted).findings, "anchor_key_differs"));
    CHECK(patient.audited(patient.forged(), trusted).anchors.covered_to == 0);
    std::set<Hash> both = trusted;  // the key was replaced
    both.insert(key_fingerprint(seed(2).public_key()));
    CHECK(patient.audited(patient.anchors(), both).whole());
    CHECK(patient.audited(patient.forged(), both).whole());

    std::vector<Anchor> damaged = patient.anchors();
    damaged[2].last_hash.data[0] ^= 1;
    CHECK(has(patient.audited(damaged).findings, "anchor_damaged"));

    std::vector<Anchor> unlinked = patient.anchors();
    unlinked[2].previous.data[0] ^= 1;
    sign_anchor(unlinked[2], seed());
    CHECK(has(patient.audited(unlinked).findings, "anchor_chain_broken"));
}

TEST_CASE("directory: a place that knows only another log says that this one took its place") {
    const Patient patient;
    std::vector<Anchor> other = patient.anchors();
    for (Anchor& anchor : other) {
        anchor.lineage = eventlog::testing::uuid(8);
        anchor.last_hash.data[0] ^= 1;
        sign_anchor(anchor, seed());
    }
    other.resize(1);
    const AuditReport report = patient.audited(other);
    CHECK(has(report.findings, "log_lineage_differs"));
    CHECK(report.anchors.other_lineage == 1);

    // Fitting anchors beside it, as whoever replaces a log would put there, do not hide it.
    const KnownAnchors two{{{"beside it", patient.anchors()}, {"elsewhere", other}}, {}};
    const auto hidden = eventlog::verify_log_directory(patient.path(), two);
    REQUIRE(hidden);
    CHECK(has(hidden->findings, "log_lineage_differs"));

    // A place that witnessed the restore has anchors of both.
    for (const Anchor& anchor : patient.anchors()) other.push_back(anchor);
    CHECK(patient.audited(other).whole());
    CHECK(patient.audited(other).anchors.other_lineage == 1);
}
