#include "replicator/audit_ledger.h"

#include <catch2/catch.hpp>

namespace drover::replicator {

namespace {

/// A disk seen by three counters, each of which can be made to miss something.
class Disk {
  public:
    explicit Disk(std::uint64_t sectors_before = 1000) {
        kernel_.written = sectors_before;
        ledger_ = first_ledger(sample());
        for (std::uint64_t i = 0; i < drift_observations_enough; ++i) audit();
    }

    void issue(std::uint64_t sectors) { issued_ += sectors; }

    void complete(std::uint64_t sectors) {
        traced_.written += sectors;
        kernel_.written += sectors;
    }

    void complete_untraced(std::uint64_t sectors) { kernel_.written += sectors; }

    void write(std::uint64_t sectors) {
        issue(sectors);
        complete(sectors);
    }

    void discard(std::uint64_t sectors, bool traced = true) {
        issued_ += sectors;
        kernel_.discarded += sectors;
        if (traced) traced_.discarded += sectors;
    }

    void trace_unaccounted(std::uint64_t sectors) { traced_.written += sectors; }

    void wait_ms(SteadyMillis ms) { now_ms_ += ms; }

    [[nodiscard]] AuditSample sample() const {
        AuditSample sample;
        sample.traced_before = traced_;
        sample.kernel = kernel_;
        sample.traced_after = traced_;
        sample.issued = issued_;
        sample.now_ms = now_ms_;
        return sample;
    }

    Judgement audit() { return audit(sample()); }

    Judgement audit(const AuditSample& sample) {
        Judgement judgement = judge(ledger_, sample);
        ledger_ = judgement.ledger;
        return judgement;
    }

  private:
    SectorCounts traced_;
    SectorCounts kernel_;
    std::uint64_t issued_ = 0;
    SteadyMillis now_ms_ = 1;
    AuditLedger ledger_;
};

using Verdict = Audit::Verdict;

}  // namespace

TEST_CASE("audit: equal counters are exact, whatever came before the attachment") {
    Disk disk(123'456);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
    disk.write(8);
    disk.discard(4096);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
    CHECK(disk.audit().remedy == Remedy::none);
}

TEST_CASE("audit: a write traced while looking is busy, not exact") {
    Disk disk;
    disk.write(8);
    AuditSample sample = disk.sample();
    sample.traced_before.written -= 8;
    CHECK(disk.audit(sample).audit.verdict == Verdict::busy);
}

TEST_CASE("audit: a lost completion marks what was issued, once") {
    Disk disk;
    disk.issue(8);
    disk.complete_untraced(8);
    const Judgement found = disk.audit();
    CHECK(found.audit.verdict == Verdict::repaired);
    CHECK(found.audit.lost_sectors == 8);
    CHECK(found.remedy == Remedy::mark_issued);
    const Judgement after = disk.audit();
    CHECK(after.audit.verdict == Verdict::exact);
    CHECK(after.audit.detail == "lost and repaired so far: 8 sectors, 1 repairs");
}

TEST_CASE("audit: a loss is found although the disk is busy") {
    Disk disk;
    disk.issue(8);
    disk.complete_untraced(8);
    AuditSample sample = disk.sample();
    sample.traced_before.written -= 16;
    CHECK(disk.audit(sample).audit.verdict == Verdict::repaired);
}

TEST_CASE("audit: a lost discard is not hidden by a write not yet accounted") {
    Disk disk;
    disk.discard(8, false);
    disk.trace_unaccounted(8);
    CHECK(disk.audit().audit.verdict == Verdict::repaired);
}

TEST_CASE("audit: a loss whose issue was lost too is beyond repair") {
    Disk disk;
    SECTION("seen together") {
        disk.complete_untraced(8);
    }
    SECTION("the issue was seen to be lost earlier, with its write in flight") {
        disk.write(8);
        AuditSample sample = disk.sample();
        sample.issued -= 16;
        sample.writes_in_flight = 1;
        CHECK(disk.audit(sample).audit.verdict == Verdict::exact);
        disk.issue(8);
        disk.complete_untraced(8);
    }
    const Judgement found = disk.audit();
    CHECK(found.audit.verdict == Verdict::lost);
    CHECK(found.remedy == Remedy::mark_all);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
}

TEST_CASE("audit: a repair is withdrawn if the same window turns out to lack issue events") {
    Disk disk;
    disk.issue(64);
    disk.complete_untraced(8);
    disk.complete_untraced(8);
    CHECK(disk.audit().audit.verdict == Verdict::repaired);
    disk.complete(56);
    const Judgement found = disk.audit();
    CHECK(found.audit.verdict == Verdict::lost);
    CHECK(found.remedy == Remedy::mark_all);
}

TEST_CASE("audit: lost issue events alone cost nothing once their writes were traced") {
    Disk disk;
    disk.complete(8);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
    disk.issue(8);
    disk.complete_untraced(8);
    CHECK(disk.audit().audit.verdict == Verdict::repaired);
}

TEST_CASE("audit: a loss before the first moment without writes in flight is beyond repair") {
    AuditSample start;
    AuditLedger ledger = first_ledger(start);
    AuditSample later;
    later.kernel.written = 8;
    later.issued = 8;
    CHECK(judge(ledger, later).audit.verdict == Verdict::lost);
}

TEST_CASE("audit: the issued log is rotated only with nothing in flight, and not too often") {
    Disk disk;
    disk.wait_ms(rotation_ms_min);
    disk.write(8);
    SECTION("by the kernel's word") {
        AuditSample sample = disk.sample();
        sample.writes_in_flight = 1;
        CHECK_FALSE(disk.audit(sample).rotate_issued);
    }
    SECTION("by our own counters") {
        disk.issue(8);
        CHECK_FALSE(disk.audit().rotate_issued);
        disk.complete(8);
    }
    SECTION("by an exact audit") {
        disk.issue(8);
        disk.complete_untraced(8);
        CHECK_FALSE(disk.audit().rotate_issued);
    }
    CHECK(disk.audit().rotate_issued);
    disk.write(8);
    CHECK_FALSE(disk.audit().rotate_issued);
    disk.wait_ms(rotation_ms_min);
    CHECK(disk.audit().rotate_issued);
    disk.wait_ms(rotation_ms_min);
    CHECK_FALSE(disk.audit().rotate_issued);
}

TEST_CASE("audit: a request issued twice stops rotation only until the disk has been quiet") {
    Disk disk;
    disk.wait_ms(rotation_ms_min);
    disk.issue(8);
    disk.write(8);
    CHECK_FALSE(disk.audit().rotate_issued);
    disk.wait_ms(requeue_quiet_ms);
    CHECK(disk.audit().rotate_issued);
}

TEST_CASE("audit: a request issued twice hides no loss whose issue was lost too") {
    Disk disk;
    disk.issue(16);
    disk.write(16);
    SECTION("found after the loss: busy while a write may be in flight, then lost") {
        disk.complete_untraced(8);
        CHECK(disk.audit().audit.verdict == Verdict::repaired);
        CHECK(disk.audit().audit.verdict == Verdict::busy);
        disk.wait_ms(requeue_quiet_ms - 1);
        CHECK(disk.audit().audit.verdict == Verdict::busy);
        disk.wait_ms(1);
    }
    SECTION("found before the loss, which takes back less than it added") {
        CHECK(disk.audit().audit.verdict == Verdict::exact);
        disk.complete_untraced(8);
    }
    SECTION("found before the loss, which takes it back as a whole") {
        CHECK(disk.audit().audit.verdict == Verdict::exact);
        disk.complete_untraced(16);
    }
    const Judgement found = disk.audit();
    CHECK(found.audit.verdict == Verdict::lost);
    CHECK(found.remedy == Remedy::mark_all);
    disk.wait_ms(requeue_quiet_ms);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
}

TEST_CASE("audit: a repair stands if the drift was raised by a write in flight only") {
    Disk disk;
    disk.issue(8);
    disk.complete_untraced(8);
    CHECK(disk.audit().audit.verdict == Verdict::repaired);
    disk.issue(8);
    CHECK(disk.audit().audit.verdict == Verdict::busy);
    disk.complete(8);
    CHECK(disk.audit().audit.verdict == Verdict::exact);
    disk.issue(8);
    disk.complete_untraced(8);
    CHECK(disk.audit().audit.verdict == Verdict::repaired);
}

TEST_CASE(
    "audit: passthrough writes, writes past the end and missing accounting are beyond repair") {
    Disk disk;
    AuditSample sample = disk.sample();
    SECTION("passthrough") {
        sample.passthrough = 1;
    }
    SECTION("outside") {
        sample.out_of_bounds = 1;
    }
    SECTION("accounting") {
        sample.accounting_on = false;
    }
    const Judgement found = disk.audit(sample);
    CHECK(found.audit.verdict == Verdict::lost);
    CHECK(found.remedy == Remedy::mark_all);
    CHECK_FALSE(found.audit.detail.empty());
    sample.accounting_on = true;
    CHECK(disk.audit(sample).audit.verdict == Verdict::exact);
}

TEST_CASE("audit: a kernel that stays behind what was traced did not count for a while") {
    Disk disk;
    disk.trace_unaccounted(8);
    CHECK(disk.audit().audit.verdict == Verdict::busy);
    disk.wait_ms(behind_ms_max - 1);
    CHECK(disk.audit().audit.verdict == Verdict::busy);
    SECTION("and then caught up") {
        disk.complete_untraced(8);
        CHECK(disk.audit().audit.verdict == Verdict::exact);
    }
    SECTION("and never caught up") {
        disk.wait_ms(1);
        CHECK(disk.audit().audit.verdict == Verdict::lost);
        CHECK(disk.audit().audit.verdict == Verdict::exact);
    }
}

TEST_CASE("diskstats: written and discarded sectors are fields 7 and 14 of the stat file") {
    const auto counts = parse_stat("  1 2 3 4  5 6 700 8  9 10 11  12 13 1400 15  16 17\n");
    REQUIRE(counts.has_value());
    CHECK(*counts == SectorCounts{700, 1400});
    CHECK(parse_stat("1 2 3 4 5 6 7 8 9 10 11\n").error().code() == Errc::unsupported);
    CHECK(parse_stat("").error().code() == Errc::corrupt);
    CHECK(parse_stat("1 2 x").error().code() == Errc::corrupt);
}

}  // namespace drover::replicator
