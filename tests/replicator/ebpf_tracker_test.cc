// The BPF tracker on real loop devices. A host may lose trace events (some kernels do), so every
// check allows for a repaired audit.
#include "replicator/ebpf_host.h"
#include "tests/replicator/ebpf_bench.h"

#include <chrono>
#include <functional>
#include <set>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

namespace drover::replicator {

namespace {

using Blocks = std::set<std::uint64_t>;

Blocks dirty_blocks(ChangeTracker& tracker) {
    Blocks blocks;
    const BlockMap map = tracker.dirty();
    for (std::uint64_t block = 0; block < map.blocks(); ++block)
        if (map.test(block)) blocks.insert(block);
    return blocks;
}

constexpr int attempts_max = 5;

/// Does `change` on a fresh tracker and compares what is dirty with what it returns. If the host
/// lost an event, which an audit must then have repaired, more is dirty and the attempt says
/// little: once more.
void check_marks(const std::function<Blocks(LoopDisk&)>& change) {
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        const auto bench = Bench::make();
        if (!bench) return;
        const auto tracker = bench->open();
        const Blocks wanted = change(bench->disk());
        const Audit audit = settled_audit(*tracker);
        INFO(audit.detail);
        REQUIRE(audit.verdict != Audit::Verdict::lost);
        const Blocks found = dirty_blocks(*tracker);
        REQUIRE(std::ranges::includes(found, wanted));
        if (audit.verdict != Audit::Verdict::exact || !audit.detail.empty()) continue;
        CHECK(found == wanted);
        return;
    }
    FAIL("every attempt lost events: writes of this kind are not seen");
}

Blocks range(std::uint64_t first, std::uint64_t count) {
    Blocks blocks;
    for (std::uint64_t i = 0; i < count; ++i) blocks.insert(first + i);
    return blocks;
}

}  // namespace

TEST_CASE("ebpf: a new tracker starts with an empty map and counts completions") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    CHECK(tracker->kind() == "ebpf");
    CHECK_FALSE(tracker->resumed());
    CHECK(tracker->observe_bytes() == block_bytes);
    CHECK(dirty_blocks(*tracker).empty());
    const std::uint64_t before = tracker->seq();
    for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(bench->disk().write(0, block_bytes, 1));
    CHECK(tracker->seq() > before);
    CHECK(tracker->dirty().test(0));
}

TEST_CASE("ebpf: a write marks its blocks") {
    check_marks([](LoopDisk& disk) {
        REQUIRE(disk.write(10 * block_bytes, block_bytes, 1));
        return Blocks{10};
    });
}

TEST_CASE("ebpf: partial blocks are rounded outwards") {
    check_marks([](LoopDisk& disk) {
        REQUIRE(disk.write(20 * block_bytes + 512, 512, 1));
        REQUIRE(disk.write(30 * block_bytes + 3584, 1024, 2));
        REQUIRE(disk.write(disk_bytes - 512, 512, 3));
        return Blocks{20, 30, 31, disk_bytes / block_bytes};
    });
}

TEST_CASE("ebpf: long ranges are marked exactly") {
    check_marks([](LoopDisk& disk) {
        REQUIRE(disk.write(323 * block_bytes, 1U << 20, 4));
        REQUIRE(disk.write(1024 * block_bytes, 64 * block_bytes, 5));
        Blocks wanted = range(323, 256);
        wanted.merge(range(1024, 64));
        return wanted;
    });
}

TEST_CASE("ebpf: write-zeroes is a change") {
    check_marks([](LoopDisk& disk) {
        REQUIRE(disk.write_zeroes(100 * block_bytes, 10 * block_bytes));
        return range(100, 10);
    });
}

TEST_CASE("ebpf: discard is a change") {
    check_marks([](LoopDisk& disk) {
        REQUIRE(disk.discard(1000 * block_bytes, 3000 * block_bytes));
        return range(1000, 3000);
    });
}

TEST_CASE("ebpf: a write through a partition marks its place on the whole disk") {
    check_marks([](LoopDisk& disk) {
        const Fd partition = disk.add_partition(1U << 20, 8U << 20);
        REQUIRE(partition.valid());
        REQUIRE(write_fully(partition.get(), 5 * block_bytes, 2 * block_bytes, 7));
        DeviceFacts facts = disk.facts();
        struct stat status {};
        REQUIRE(::fstat(partition.get(), &status) == 0);
        facts.major = major(status.st_rdev);
        facts.minor = minor(status.st_rdev);
        CHECK(ebpf_can_track(facts).error().detail().find("partition") != std::string::npos);
        return Blocks{256 + 5, 256 + 6};
    });
}

TEST_CASE("ebpf: a write past the tracked end makes the whole disk suspect") {
    const auto bench = Bench::make();
    if (!bench) return;
    DeviceFacts facts = bench->disk().facts();
    facts.size_bytes = 64 * block_bytes;
    const auto tracker = bench->open(facts);
    REQUIRE(bench->disk().write(63 * block_bytes, 2 * block_bytes, 1));
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::lost);
    CHECK(tracker->dirty().count() == 64);
}

TEST_CASE("ebpf: writes while no agent runs are seen by the next one") {
    const auto bench = Bench::make();
    if (!bench) return;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        NamedDisk named(bench->disk().facts());
        auto tracker = open_ebpf_tracker(named, bench->options());
        const bool written = tracker && bench->disk().write(3 * block_bytes, block_bytes, 1);
        ::_exit(written ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    REQUIRE(bench->disk().write(50 * block_bytes, 5 * block_bytes, 1));
    REQUIRE(bench->disk().write_zeroes(70 * block_bytes, 10 * block_bytes));
    const auto tracker = bench->open();
    CHECK(tracker->resumed());
    Blocks wanted = range(50, 5);
    wanted.merge(range(70, 10));
    wanted.insert(3);
    const Blocks found = dirty_blocks(*tracker);
    CHECK(std::ranges::includes(found, wanted));
    CHECK(must(tracker->audit()).verdict == Audit::Verdict::exact);
}

TEST_CASE("ebpf: state of another boot, size, disk or generation is not continued") {
    const auto bench = Bench::make();
    if (!bench) return;
    const Generation first = bench->open()->generation();
    DeviceFacts facts = bench->disk().facts();
    const std::filesystem::path state = bench->options().state_directory / "tracker-0.state";
    REQUIRE(bench->disk().write(0, block_bytes, 1));

    SECTION("the same everything is continued") {
        const auto tracker = bench->open(facts);
        CHECK(tracker->resumed());
        CHECK(tracker->generation() == first);
        return;
    }
    SECTION("another boot") {
        bench->options().boot_id = "boot-2";
    }
    SECTION("another size") {
        facts.size_bytes -= block_bytes;
    }
    SECTION("another disk") {
        facts.identity = "another";
    }
    SECTION("no state file") {
        REQUIRE(std::filesystem::remove(state));
    }
    SECTION("another generation") {
        std::string text = must(read_text(state));
        text.replace(text.find(first.hex()), 32, SystemRandom().uuid().hex());
        REQUIRE(write_file_durably(state, as_bytes(text)));
    }
    SECTION("maps of another layout") {
        const Control control(bench->pins() / "control");
        control->layout = TRACK_LAYOUT + 1;
    }
    SECTION("a program that was detached meanwhile") {
        REQUIRE(std::filesystem::remove(bench->pins() / "link_complete"));
    }
    SECTION("accounting was switched off meanwhile") {
        REQUIRE(bench->disk().set_accounting(false));
        REQUIRE(bench->disk().write(0, block_bytes, 2));
    }
    const auto tracker = bench->open(facts);
    CHECK_FALSE(tracker->resumed());
    CHECK(tracker->generation() != first);
    CHECK(dirty_blocks(*tracker).empty());
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
}

TEST_CASE("ebpf: a lost completion is found by the audit and its block made dirty again") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    REQUIRE(bench->disk().write(77 * block_bytes, block_bytes, 1));
    const Counters counters(bench->pins() / "counters");
    subtract(counters->completed_written, block_bytes / 512);
    tracker->dirty().clear(77, 1);

    SECTION("by this process") {
        const Audit audit = settled_audit(*tracker);
        CHECK(audit.verdict == Audit::Verdict::repaired);
        CHECK(audit.lost_sectors == block_bytes / 512);
        CHECK(audit.detail.find("8 sectors") == 0);
        CHECK(tracker->dirty().test(77));
        CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    }
    SECTION("by the next one") {
        const auto next = bench->open();
        CHECK(next->resumed());
        CHECK(next->dirty().test(77));
        CHECK(settled_audit(*next).verdict == Audit::Verdict::exact);
    }
}

TEST_CASE("ebpf: the issued log still holds what was issued before the last exact audit") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(bench->disk().write(77 * block_bytes, block_bytes, 1));
    (void)settled_audit(*tracker);
    const Counters counters(bench->pins() / "counters");
    subtract(counters->completed_written, block_bytes / 512);
    tracker->dirty().clear(77, 1);
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::repaired);
    CHECK(tracker->dirty().test(77));
}

TEST_CASE("ebpf: a write of which both events were lost makes the whole disk suspect") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    REQUIRE(bench->disk().write(77 * block_bytes, block_bytes, 1));
    const Counters counters(bench->pins() / "counters");
    subtract(counters->completed_written, block_bytes / 512);
    subtract(counters->issued_written, block_bytes / 512);
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::lost);
    CHECK(tracker->dirty().count() == tracker->dirty().blocks());
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
}

TEST_CASE("ebpf: a disk whose accounting is off cannot be audited, and is again once it is on") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(bench->disk().set_accounting(false));
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::lost);
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    REQUIRE(bench->disk().write(0, block_bytes, 1));
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
}

TEST_CASE("ebpf: a write that is lost while accounting is off makes the whole disk suspect") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    REQUIRE(bench->disk().set_accounting(false));
    const Counters counters(bench->pins() / "counters");
    (void)lose_event(bench->disk(), *tracker, counters, 77);

    SECTION("found off") {
        const Audit audit = settled_audit(*tracker);
        CHECK(audit.verdict == Audit::Verdict::lost);
        CHECK(audit.detail.find("accounting") != std::string::npos);
        CHECK(bench->disk().accounting());
    }
    SECTION("found on again, because another write was seen and not counted") {
        REQUIRE(bench->disk().write(0, block_bytes, 1));
        REQUIRE(bench->disk().set_accounting(true));
        // Behind what was traced for longer than a completion can be on its way.
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        Audit audit = must(tracker->audit());
        while (audit.verdict == Audit::Verdict::busy && std::chrono::steady_clock::now() < end)
            audit = must(tracker->audit());
        CHECK(audit.verdict == Audit::Verdict::lost);
    }
    CHECK(tracker->dirty().count() == tracker->dirty().blocks());
}

TEST_CASE("ebpf: a passthrough write, whose place nobody knows, makes the whole disk suspect") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(settled_audit(*tracker).verdict == Audit::Verdict::exact);
    // Loop devices take no such command: what the program would count is counted here.
    const Counters counters(bench->pins() / "counters");
    std::atomic_ref<unsigned long long>(counters->passthrough).fetch_add(1);
    const Audit audit = settled_audit(*tracker);
    CHECK(audit.verdict == Audit::Verdict::lost);
    CHECK(audit.detail.find("location unknown") != std::string::npos);
    CHECK(tracker->dirty().count() == tracker->dirty().blocks());
    CHECK(settled_audit(*tracker).verdict == Audit::Verdict::exact);
}

TEST_CASE("ebpf: the disks of one job are tracked apart") {
    const auto first = Bench::make();
    const auto second = Bench::make();
    if (!first || !second) return;
    second->options().job = first->options().job;
    second->options().disk = 1;
    const auto one = first->open();
    const auto other = second->open();
    REQUIRE(first->disk().write(5 * block_bytes, block_bytes, 1));
    CHECK(settled_audit(*one).verdict != Audit::Verdict::lost);
    CHECK(one->dirty().test(5));
    CHECK(dirty_blocks(*other).empty());
    other->forget();
    REQUIRE(first->disk().write(6 * block_bytes, block_bytes, 1));
    CHECK(settled_audit(*one).verdict != Audit::Verdict::lost);
    CHECK(one->dirty().test(6));
}

TEST_CASE("ebpf: programs can be tried without tracking anything") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    CHECK(try_tracepoints());
    REQUIRE(bench->disk().write(5 * block_bytes, block_bytes, 1));
    CHECK(settled_audit(*tracker).verdict != Audit::Verdict::lost);
    CHECK(tracker->dirty().test(5));
}

TEST_CASE("ebpf: forget leaves nothing behind") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    REQUIRE(std::filesystem::exists(bench->pins()));
    tracker->forget();
    CHECK_FALSE(std::filesystem::exists(bench->pins()));
    CHECK(std::filesystem::is_empty(bench->options().state_directory));
    const std::uint64_t seq = tracker->seq();
    REQUIRE(bench->disk().write(0, block_bytes, 1));
    CHECK(tracker->seq() == seq);
    CHECK_FALSE(bench->open()->resumed());
}

TEST_CASE("ebpf: image files and disks without block requests are refused with the reason") {
    DeviceFacts facts;
    facts.path = "/var/tmp/image";
    const auto image = ebpf_can_track(facts);
    REQUIRE_FALSE(image);
    CHECK(image.error().code() == Errc::unsupported);
    if (image.error().id() == "ebpf_not_built") return;
    CHECK(image.error().detail().find("not a block device") != std::string::npos);

    struct stat status {};

    if (::stat("/dev/zram0", &status) != 0) return;
    facts.is_block_device = true;
    facts.major = major(status.st_rdev);
    facts.minor = minor(status.st_rdev);
    CHECK_FALSE(ebpf_can_track(facts));
}

}  // namespace drover::replicator
