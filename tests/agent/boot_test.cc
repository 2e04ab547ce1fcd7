// The rules of a fence between a reboot and the agent's word that the host may go on starting.
#include "agent/disk_wait.h"
#include "agent/peer_network.h"
#include "agent/ready.h"
#include "agent/udev.h"
#include "tests/agent/world.h"

#include <algorithm>
#include <future>

#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace drover::agent {
namespace {

using testing::World;

struct Fenced : World {
    Fenced() {
        boot();
        want(replicate(40, Side::source));
        want(fence(50));
        settle();
        REQUIRE(is_fenced());
        process->output.reports.clear();
    }

    void reboot() {
        die();
        host.reboot(true);
        host.acts.clear();
    }
};

/// A service manager's end of the notification socket.
class Manager {
  public:
    explicit Manager(const std::string& name)
        : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name.copy(address.sun_path, sizeof address.sun_path - 1);
        if (name[0] == '@') address.sun_path[0] = '\0';
        const std::size_t size = offsetof(sockaddr_un, sun_path) + name.size();
        REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address),
                       static_cast<socklen_t>(size)) == 0);
    }

    /// The next datagram; empty if none comes in that time.
    [[nodiscard]] std::string hear(int timeout_ms) const {
        pollfd waiting{fd_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, timeout_ms) != 1) return {};
        char text[64] = {};
        const ssize_t got = ::recv(fd_.get(), text, sizeof text, 0);
        return got < 0 ? std::string() : std::string(text, static_cast<std::size_t>(got));
    }

  private:
    Fd fd_;
};

std::string abstract_name() {
    return "@drover-ready-test-" + std::to_string(::getpid());
}

TEST_CASE("boot: a fenced disk is hidden before its guard can be lost, and shown on release") {
    Fenced w;
    CHECK(w.host.disks["/dev/s"].hidden);
    CHECK(w.host.when("hide_from_udev") < w.host.when("hold_guard"));
    w.host.acts.clear();
    w.want(w.release(60));
    w.settle();
    CHECK_FALSE(w.host.disks["/dev/s"].hidden);
    // Shown while the guard holds them, nothing could assemble them; after the hook is too late.
    CHECK(w.host.when("end_guard") < w.host.when("show_to_udev"));
    CHECK(w.host.when("show_to_udev") < w.host.when("run_hook"));
}

TEST_CASE("boot: what is hidden is not mounted by the reboot, and that is no breach") {
    Fenced w;
    w.reboot();
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.report_count() == 0);
}

TEST_CASE("boot: a rule that somebody removed is back when the agent starts") {
    Fenced w;
    w.die();
    w.host.disks["/dev/s"].hidden = false;
    w.boot();
    CHECK(w.is_fenced());
}

TEST_CASE("boot: a fence whose rule cannot be written is held all the same") {
    Fenced w;
    w.reboot();
    w.host.failing.insert("hide_from_udev");
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.report_count() == 0);
}

TEST_CASE("boot: a fence needs its marker only, not the rest of the job's state") {
    Fenced w;
    w.reboot();
    REQUIRE(write_file_durably(w.paths.job(w.job, Side::source) / "replicate", as_bytes("x")));
    w.boot();
    CHECK(w.is_fenced());
}

TEST_CASE("boot: a disk that appears late is waited for, and is no breach") {
    Fenced w;
    w.reboot();
    auto disk = w.host.disks.extract("/dev/s");
    int waits = 0;
    w.host.on_wait = [&] {
        if (++waits == 3) w.host.disks.insert(std::move(disk));
    };
    w.boot();
    CHECK(waits == 3);
    CHECK(w.is_fenced());
    CHECK(w.report_count() == 0);
}

TEST_CASE("boot: a release that a reboot cut short waits for its disk, too") {
    Fenced w;
    w.want_and_die_at(w.release(60), "release.marker");
    w.host.reboot(true);
    auto disk = w.host.disks.extract("/dev/s");
    w.host.on_wait = [&] {
        if (disk) w.host.disks.insert(std::move(disk));
    };
    w.boot();
    CHECK(w.in_service());
    (void)w.last<ReleaseDone>();
}

TEST_CASE("boot: a disk that does not appear keeps nobody waiting for ever, and is reported") {
    Fenced w;
    w.reboot();
    w.host.disks.erase("/dev/s");
    std::int64_t waits = 0;
    w.host.on_wait = [&] { ++waits; };
    w.boot();
    CHECK(waits == disk_wait_ms_max / disk_wait_step_ms);
    CHECK(w.process->executor->wait_for_fences(0).empty());
    const auto& reports = w.process->output.reports;
    CHECK(std::any_of(reports.begin(), reports.end(), [](const Report& report) {
        return std::holds_alternative<FenceBreach>(report.body);
    }));
}

TEST_CASE("boot: a target listens before its host has the address") {
    World w;
    w.config.listen = ListenConfig{"192.0.2.1", "192.0.2.1", 6325, 6326};
    TlsPeerNetwork peers(w.config, w.identity, w.clock);
    CHECK(peers.listen([](const Ticket&) { return nullptr; }));
    peers.stop();
}

TEST_CASE("ready: every fence is looked at first, a release that was cut short is not waited for") {
    Fenced w;
    w.reboot();
    w.launch();
    CHECK(w.process->executor->wait_for_fences(0) == std::vector{w.job});
    w.settle();
    CHECK(w.process->executor->wait_for_fences(0).empty());

    w.want_and_die_at(w.release(60), "release.guard");
    w.launch();
    // Its hook may start a service, which starts only after READY. So none has run by then.
    w.host.on_wait = nullptr;
    w.crash_at = "release.marker";
    CHECK_THROWS_AS(w.settle(), testing::Crash);
    CHECK(w.process->executor->wait_for_fences(0).empty());
    CHECK(w.host.runs_of("start-app") == 0);
}

TEST_CASE("ready: a target that must be down is down first") {
    World w;
    w.boot();
    w.expose("/dev/t");
    w.want(w.replicate(40, Side::target));
    w.want(w.activate(50));
    w.settle();
    REQUIRE(w.host.disks["/dev/t"].mounted);
    w.die();
    auto journal = Journal::open(w.paths.journal());
    REQUIRE((*journal)->tombstone(w.token));
    journal->reset();
    w.launch();
    CHECK(w.process->executor->wait_for_fences(0) == std::vector{w.job});
    w.settle();
    CHECK(w.process->executor->wait_for_fences(0).empty());
    CHECK_FALSE(w.host.disks["/dev/t"].mounted);
    CHECK(w.host.guarded(w.job, Side::target));
}

TEST_CASE("ready: it is said only after every fence was looked at") {
    Fenced w;
    w.boot();
    w.process->executor.reset();
    w.host.reboot(true);
    auto disk = w.host.disks.extract("/dev/s");
    std::promise<void> reached;
    std::promise<void> appears;
    w.host.on_wait = [&] {
        reached.set_value();
        appears.get_future().wait();
        w.host.disks.insert(std::move(disk));
    };
    const Manager manager(abstract_name());
    ThreadWorkers workers;
    Executor executor(w.parts(), *w.process->replicas, w.process->peers, workers, w.random,
                      w.process->output);
    REQUIRE(executor.start());
    auto said =
        std::async(std::launch::async, [&] { say_ready(executor, 10'000, abstract_name()); });
    reached.get_future().wait();
    CHECK(manager.hear(50).empty());
    CHECK_FALSE(w.host.guarded(w.job, Side::source));
    appears.set_value();
    said.wait();
    CHECK(manager.hear(1000) == "READY=1");
    CHECK(w.is_fenced());
    workers.stop();
}

TEST_CASE("ready: a fence that takes too long does not keep the host from starting") {
    Fenced w;
    w.reboot();
    w.launch();
    const Manager manager(abstract_name());
    say_ready(*w.process->executor, 0, abstract_name());
    CHECK(manager.hear(1000) == "READY=1");
}

TEST_CASE("ready: a host without fences is ready at once, and nobody need be told") {
    World w;
    w.launch();
    say_ready(*w.process->executor, 0, "");
    const Manager manager(abstract_name());
    CHECK(manager.hear(0).empty());
    say_ready(*w.process->executor, 0, abstract_name());
    CHECK(manager.hear(1000) == "READY=1");
}

TEST_CASE("ready: it goes to a path as well, and to nothing that is no socket's name") {
    const testing::TempDir dir;
    const std::string path = (dir.path() / "notify").native();
    CHECK_FALSE(notify_manager(path, "READY=1"));
    const Manager manager(path);
    REQUIRE(notify_manager(path, "READY=1"));
    CHECK(manager.hear(1000) == "READY=1");
    CHECK(notify_manager("notify", "x").error().id() == "notify_socket_invalid");
    CHECK(notify_manager("/" + std::string(200, 'x'), "x").error().id() == "notify_socket_invalid");
}

TEST_CASE("udev: a disk with an identity is matched by it, in every boot") {
    const UdevDisk disk{{"sdb", "sdb1"}, "wwid:naa.5000c500a1b2c3d4"};
    const std::string rule = udev_rule(disk);
    CHECK(rule.find("ATTRS{wwid}==\"naa.5000c500a1b2c3d4\",") != std::string::npos);
    CHECK(rule.find("KERNEL") == std::string::npos);
    for (const char* effect :
         {"ENV{SYSTEMD_READY}=\"0\"", "ENV{UDISKS_IGNORE}=\"1\"", "ENV{ID_FS_TYPE}=\"\""})
        CHECK(rule.find(effect) != std::string::npos);
    CHECK(udev_rule_file(disk).parent_path() == "/etc/udev/rules.d");
    // Between blkid's rules and those that assemble.
    CHECK(udev_rule_file(disk).filename() > "60-persistent-storage.rules");
    CHECK(udev_rule_file(disk).filename() < "64-md-raid-assembly.rules");
}

TEST_CASE("udev: an identity means itself, whatever its characters, however long it is") {
    const UdevDisk disk{{"nvme0n1"}, "serial:a*b\"c[d]|" + std::string(190, 'e')};
    CHECK(udev_rule(disk).find("ATTRS{serial}==\"a?b?c?d??e") != std::string::npos);
    CHECK(udev_rule_file(disk).filename().native().size() <= 255);
}

TEST_CASE("udev: a disk without an identity is matched by name, exactly, and in this boot only") {
    const UdevDisk loop{{"loop1", "loop1p1"}, "loop:2049:12"};
    CHECK(udev_rule(loop).find("KERNEL==\"loop1|loop1p[0-9]*\",") != std::string::npos);
    CHECK(udev_rule_file(loop).parent_path() == "/run/udev/rules.d");
    CHECK(udev_rule({{"sdb"}, ""}).find("KERNEL==\"sdb|sdb[0-9]*\",") != std::string::npos);
}

}  // namespace
}  // namespace drover::agent
