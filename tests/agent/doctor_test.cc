// What the doctor says of a host and a disk: facts in, checks out. What it reads is a directory
// that looks like /proc and /sys.
#include "agent/doctor_look.h"
#include "tests/agent/fake_host.h"
#include "tests/agent/world.h"

#include <algorithm>
#include <fstream>

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::TempDir;

constexpr std::uint64_t gib = 1U << 30;

HostFacts healthy_host() {
    HostFacts facts;
    facts.is_configured = true;
    facts.config.name = "web-01";
    facts.config.is_source = true;
    facts.config.state = "/var/lib/drover-agent";
    facts.kernel = "6.1.0-18-amd64";
    facts.tracing.capabilities = ~std::uint64_t{0};
    facts.tracing.has_btf = true;
    facts.tracing.lockdown = "none";
    facts.tracing.bpffs = replicator::Bpffs::writable;
    facts.memlock_bytes = ~std::uint64_t{0};
    facts.state_exists = true;
    facts.state_writable = true;
    facts.state_free_bytes = 10 * gib;
    facts.clock_synchronised = true;
    facts.wall_micros = 1'800'000'000'000'000;
    return facts;
}

DiskView healthy_disk() {
    DiskView disk;
    disk.path = "/dev/sdb";
    disk.facts.path = disk.path;
    disk.facts.identity = "wwid:naa.1";
    disk.facts.size_bytes = 100 * gib;
    disk.facts.is_block_device = true;
    disk.kernel_name = "sdb";
    return disk;
}

Error because(const std::string& detail) {
    return Error(Errc::unsupported, "test", detail, "nothing", "do something");
}

/// The check of that name; fails the test if there is not exactly one.
Check check_of(const std::vector<Check>& checks, const std::string& name) {
    const auto is_named = [&](const Check& check) { return check.name == name; };
    INFO(name);
    REQUIRE(std::ranges::count_if(checks, is_named) == 1);
    return *std::ranges::find_if(checks, is_named);
}

Check host_check(const HostFacts& facts, const std::string& name) {
    const Check check = check_of(judge_host(facts), name);
    // Whatever is wrong says what that means and what to do.
    if (check.health != Health::ok) {
        CHECK_FALSE(check.means.empty());
        CHECK_FALSE(check.next.empty());
    }
    return check;
}

Check disk_check(const DiskView& disk, const std::string& name,
                 const std::vector<std::string>& named = {"sdb"}) {
    const Check check = check_of(judge_disk(healthy_host(), disk, named).checks, name);
    if (check.health != Health::ok) {
        CHECK_FALSE(check.means.empty());
        CHECK_FALSE(check.next.empty());
    }
    return check;
}

std::size_t not_ok(const std::vector<Check>& checks) {
    return static_cast<std::size_t>(std::ranges::count_if(
        checks, [](const Check& check) { return check.health != Health::ok; }));
}

void put(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
}

}  // namespace

TEST_CASE("doctor: of a healthy host and disk nothing is wrong") {
    CHECK(not_ok(judge_host(healthy_host())) == 0);
    const DiskReport report = judge_disk(healthy_host(), healthy_disk(), {"sdb"});
    CHECK(not_ok(report.checks) == 0);
    CHECK(report.tracker == "ebpf");
}

TEST_CASE("doctor: what the agent cannot do without is failed") {
    HostFacts facts = healthy_host();
    std::string name;
    SECTION("rights") {
        facts.tracing.capabilities = 0;
        name = "rights";
    }
    SECTION("a kernel that counts no discards") {
        facts.kernel = "4.17.2";
        name = "kernel";
    }
    SECTION("a configuration that cannot be read") {
        facts.config_refused = because("line 3");
        name = "config";
    }
    SECTION("a state directory that nobody may write") {
        facts.state_writable = false;
        name = "state";
    }
    SECTION("a state directory in memory") {
        facts.state_not_durable = because("tmpfs");
        name = "state";
    }
    SECTION("no room for the state") {
        facts.state_free_bytes = 1U << 20;
        name = "space";
    }
    SECTION("a clock that was never set") {
        facts.wall_micros = 0;
        name = "clock";
    }
    SECTION("a hook that anybody could change") {
        facts.hooks.push_back({"stop-app", "/etc/stop", because("writable by others")});
        name = "hook stop-app";
    }
    CHECK(host_check(facts, name).health == Health::failed);
}

TEST_CASE("doctor: what only makes tracking slower is a warning, and the disk is scanned") {
    HostFacts facts = healthy_host();
    std::string name;
    SECTION("an old kernel") {
        facts.kernel = "5.10.0-28-amd64";
        facts.attach_refused = because("no bpf_loop");
        name = "kernel";
    }
    SECTION("no BTF") {
        facts.tracing.has_btf = false;
        name = "btf";
    }
    SECTION("lockdown") {
        facts.tracing.lockdown = "confidentiality";
        name = "lockdown";
    }
    SECTION("a BPF file system that cannot be written") {
        facts.tracing.bpffs = replicator::Bpffs::read_only;
        name = "bpffs";
    }
    SECTION("programs that the kernel refuses") {
        facts.attach_refused = because("attach: Operation not permitted");
        name = "tracepoints";
    }
    CHECK(host_check(facts, name).health == Health::warning);
    CHECK(host_check(facts, "tracepoints").health == Health::warning);
    CHECK(judge_disk(facts, healthy_disk(), {"sdb"}).tracker == "scan");
}

TEST_CASE("doctor: what is as it may be is no reason to worry") {
    HostFacts facts = healthy_host();
    SECTION("lockdown of the kind that lets root trace") {
        facts.tracing.lockdown = "integrity";
        CHECK(host_check(facts, "lockdown").health == Health::ok);
    }
    SECTION("a BPF file system that the agent will mount") {
        facts.tracing.bpffs = replicator::Bpffs::absent;
        CHECK(host_check(facts, "bpffs").health == Health::ok);
    }
    SECTION("little locked memory, where BPF maps do not count") {
        facts.memlock_bytes = 65536;
        CHECK(host_check(facts, "memlock").health == Health::ok);
        facts.kernel = "5.10.0";
        CHECK(host_check(facts, "memlock").health == Health::warning);
    }
    SECTION("the scan tracker by choice") {
        facts.config.allow_ebpf = false;
        const DiskReport report = judge_disk(facts, healthy_disk(), {"sdb"});
        CHECK(report.tracker == "scan");
        CHECK(check_of(report.checks, "tracker").health == Health::ok);
    }
}

TEST_CASE("doctor: a host is judged before it is configured") {
    HostFacts facts = healthy_host();
    facts.is_configured = false;
    CHECK(host_check(facts, "config").health == Health::warning);
}

TEST_CASE("doctor: a disk that a job would refuse is failed") {
    DiskView disk = healthy_disk();
    std::string name;
    SECTION("a partition, a volume, nothing at all") {
        disk.unusable = because("neither a whole disk nor an image file");
        name = "disk";
    }
    SECTION("no capacity") {
        disk.facts.size_bytes = 0;
        name = "size";
    }
    SECTION("sectors larger than a tracked block") {
        disk.facts.sector_bytes = 16384;
        name = "sectors";
    }
    SECTION("the root filesystem, or the agent's state") {
        disk.own_files = {"the agent's state directory"};
        name = "own";
    }
    SECTION("users that cannot be found") {
        disk.uses_unknown = because("/proc is not readable");
        name = "uses";
    }
    SECTION("no room for the maps of its size") {
        disk.facts.size_bytes = 1024 * 1024 * gib;
        name = "maps";
    }
    CHECK(disk_check(disk, name).health == Health::failed);
}

TEST_CASE("doctor: what one should know about a disk is a warning") {
    DiskView disk = healthy_disk();
    std::string name;
    SECTION("accounting that the agent will switch on") {
        disk.accounting_on = false;
        name = "iostats";
    }
    SECTION("not counted, and not tracked by tracepoints") {
        disk.accounting_on = false;
        disk.not_covered = because("takes no block requests");
        name = "iostats";
    }
    SECTION("no stable identity") {
        disk.facts.identity.clear();
        name = "identity";
    }
    SECTION("read-only") {
        disk.is_read_only = true;
        name = "read_only";
    }
    SECTION("held by LVM") {
        disk.uses.push_back({DiskUse::Kind::holder, "dm-0 (vg0-data) on /dev/sdb1"});
        name = "holders";
    }
    SECTION("a volume that lies on another disk too") {
        disk.above.push_back({"vg0-data", "LVM volume", {"sdb", "sdc"}});
        name = "above";
    }
    SECTION("not covered by tracepoints") {
        disk.not_covered = because("can be written past the block layer (DAX)");
        name = "tracker";
    }
    CHECK(disk_check(disk, name).health == Health::warning);
}

TEST_CASE("doctor: volumes are covered if all disks below them are named") {
    DiskView disk = healthy_disk();
    disk.above.push_back({"data", "LUKS volume", {"sdb", "sdc"}});
    const Check alone = disk_check(disk, "above", {"sdb"});
    CHECK(alone.found == "LUKS volume data lies also on /dev/sdc");
    CHECK(disk_check(disk, "above", {"sdb", "sdc"}).health == Health::ok);
}

TEST_CASE("doctor: a scan says what it costs") {
    DiskView disk = healthy_disk();
    disk.facts.is_block_device = false;
    disk.not_covered = because("/srv/image is not a block device");
    const Check check = disk_check(disk, "tracker");
    CHECK(check.found.find("not a block device") != std::string::npos);
    CHECK(check.means.find("reads all 100 GiB, about 205 s") != std::string::npos);
}

TEST_CASE("doctor: the host is read from its files") {
    TempDir dir;
    const std::filesystem::path root = dir.path();
    put(root / "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    // All but CAP_SYS_ADMIN, CAP_BPF and CAP_PERFMON: nothing is tried with the real kernel.
    put(root / "proc/self/status", "Name:\tx\nCapEff:\t0000000000080000\n");
    put(root / "sys/kernel/btf/vmlinux", "x");
    put(root / "sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    testing::FakeHost host;
    FoundConfig found;
    found.config.state = dir.path() / "a/b";
    const HostFacts facts = look_at_host(found, host, root);
    CHECK(facts.kernel == "6.1.0-18-amd64");
    CHECK(facts.tracing.has_btf);
    CHECK_FALSE(facts.tracing.may_trace());
    CHECK(facts.tracing.lockdown == "confidentiality");
    CHECK(facts.tracing.bpffs == replicator::Bpffs::absent);
    CHECK_FALSE(facts.attach_refused);
    CHECK_FALSE(facts.state_exists);
    CHECK(facts.state_writable);
    CHECK(facts.state_free_bytes > 0);
    CHECK_FALSE(std::filesystem::exists(found.config.state));
    CHECK(host_check(facts, "rights").found.find("CAP_SYS_ADMIN") != std::string::npos);
    CHECK(host_check(facts, "rights").found.find("CAP_SYS_PTRACE") == std::string::npos);
}

TEST_CASE("doctor: which disks tracepoints cover is read from sysfs") {
    TempDir dir;
    replicator::DeviceFacts facts;
    facts.path = "/dev/sdb";
    facts.is_block_device = true;
    facts.major = 8;
    facts.minor = 16;
    const std::filesystem::path disk = dir.path() / "sys/dev/block/8:16";
    put(disk / "stat", "0");
    put(disk / "mq/0/cpu_list", "0");
    put(disk / "queue/iostats", "1\n");
    put(disk / "queue/zoned", "none\n");
    REQUIRE(replicator::tracepoints_cover(facts, dir.path()));
    std::string why;
    SECTION("a partition") {
        put(disk / "partition", "1\n");
        why = "partition";
    }
    SECTION("a device-mapper device") {
        put(disk / "dm/name", "vg0-data\n");
        why = "device-mapper";
    }
    SECTION("an md array") {
        put(disk / "md/level", "raid1\n");
        why = "md array";
    }
    SECTION("a path of a multipath disk") {
        put(disk / "hidden", "1\n");
        why = "multipath";
    }
    SECTION("a native multipath head, or a bio-based driver") {
        std::filesystem::remove_all(disk / "mq");
        why = "no block requests";
    }
    SECTION("DAX") {
        put(disk / "queue/dax", "1\n");
        why = "DAX";
    }
    SECTION("zones") {
        put(disk / "queue/zoned", "host-managed\n");
        why = "zoned";
    }
    SECTION("accounting that does not exist") {
        std::filesystem::remove(disk / "queue/iostats");
        why = "iostats";
    }
    SECTION("a disk that is gone") {
        std::filesystem::remove_all(disk);
        why = "unknown";
    }
    const auto refused = replicator::tracepoints_cover(facts, dir.path());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id() == "ebpf_unsupported");
    CHECK(refused.error().detail().find(why) != std::string::npos);
}

TEST_CASE("doctor: the report counts, and says what to do") {
    DoctorReport report;
    report.host = {{"kernel", Health::ok, "Linux 6.1", "", ""},
                   {"state", Health::failed, "in memory", "lost at a power cut", "move it"}};
    report.disks = {{"/dev/sdb", "scan", {{"tracker", Health::warning, "scan", "slow", "wait"}}}};
    CHECK(report.count(Health::failed) == 1);
    CHECK(report_text(report) ==
          "host\n"
          "  ok      kernel      Linux 6.1\n"
          "  failed  state       in memory\n"
          "                      lost at a power cut\n"
          "                      next: move it\n"
          "/dev/sdb: tracker scan\n"
          "  warning tracker     scan\n"
          "                      slow\n"
          "                      next: wait\n"
          "1 failed, 1 warnings, 1 ok: jobs here would be refused\n");
    CHECK(report_json(report) ==
          R"({"host":[{"check":"kernel","health":"ok","found":"Linux 6.1","means":"","next":""},)"
          R"({"check":"state","health":"failed","found":"in memory",)"
          R"("means":"lost at a power cut","next":"move it"}],)"
          R"("disks":[{"path":"/dev/sdb","tracker":"scan","checks":[{"check":"tracker",)"
          R"("health":"warning","found":"scan","means":"slow","next":"wait"}]}],)"
          R"("failed":1,"warnings":1,"ok":1})"
          "\n");
}

}  // namespace drover::agent
