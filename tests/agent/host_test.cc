// The rules of a real host: loop devices, real mounts, real guards. Each case says why it is
// skipped.
#include "agent/blank_check.h"
#include "agent/block_nodes.h"
#include "agent/exposure.h"
#include "agent/fence.h"
#include "agent/host_linux.h"
#include "agent/journal_place.h"
#include "base/file.h"
#include "base/sha256.h"
#include "tests/agent/loop_disk.h"

#include <fstream>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

using testing::Child;
using testing::eventually;
using testing::LoopDisk;
using testing::shell;
using testing::TempDir;
using testing::World;

constexpr std::uint64_t mebibyte = 1U << 20;

/// The real host with a state directory of its own; ends the guards that a test left.
struct RealHost {
    explicit RealHost(std::map<std::string, std::string> hooks = {}, std::uint32_t timeout_s = 5) {
        paths.root = dir.path() / "state";
        REQUIRE(make_state_directories(paths));
        const HostIdentity id{"host-a", "boot-1"};
        host = std::make_unique<HostLinux>(
            HostLinuxOptions{id, paths, AGENT_PROGRAM, std::move(hooks), timeout_s}, random);
        store = std::make_unique<ExposureStore>(paths.exposures());
    }

    ~RealHost() {
        for (const Side side : {Side::source, Side::target})
            (void)host->end_guard({job, side});  // best effort: a failed test may have left none
    }

    TempDir dir;
    StatePaths paths;
    SystemRandom random;
    std::unique_ptr<HostLinux> host;
    std::unique_ptr<ExposureStore> store;
    JobId job = SystemRandom().uuid();

    std::string expose_error(const std::string& path, const std::string& override_identity = {}) {
        auto exposed = expose_disk(*store, *host, path, override_identity);
        if (exposed) return "";
        CHECK_FALSE(exposed.error().kept().empty());
        CHECK_FALSE(exposed.error().next().empty());
        return exposed.error().id();
    }

    std::string image(std::uint64_t size) const {
        const std::string path = (dir.path() / "image").native();
        std::filesystem::remove(path);
        REQUIRE(shell("truncate -s " + std::to_string(size) + " " + path) == 0);
        return path;
    }
};

bool skipped() {
    const std::string reason = testing::why_no_loop_devices();
    if (!reason.empty()) WARN("skipped: " << reason);
    return !reason.empty();
}

/// Whether the disk lets somebody write a block now.
bool can_write(const std::string& path) {
    return shell("dd if=/dev/zero of=" + path + " bs=4096 count=1 oflag=direct conv=notrunc") == 0;
}

TEST_CASE("blank check: signatures and data are found, an empty disk passes") {
    RealHost with;
    const std::string path = with.image(64 * mebibyte);
    CHECK(check_blank_disk(path, with.random).has_value());

    REQUIRE(shell("printf x | dd of=" + path + " bs=1 seek=$((64*1048576-1)) conv=notrunc") == 0);
    auto at_the_end = check_blank_disk(path, with.random);
    REQUIRE_FALSE(at_the_end.has_value());
    CHECK(at_the_end.error().detail().find("data at byte 67108863") != std::string::npos);

    (void)with.image(64 * mebibyte);
    REQUIRE(shell("dd if=/dev/urandom of=" + path + " bs=1M seek=20 count=16 conv=notrunc") == 0);
    auto in_the_middle = check_blank_disk(path, with.random);
    REQUIRE_FALSE(in_the_middle.has_value());
    CHECK(in_the_middle.error().id() == "target_not_blank");
}

TEST_CASE("blank check: filesystems, swap and partition tables are named") {
    RealHost with;
    const std::pair<const char*, const char*> makers[] = {
        {"mkfs.ext4 -q -F ", "ext4"}, {"mkswap ", "swap"}, {"echo 'label: gpt' | sfdisk ", "gpt"}};
    for (const auto& [command, name] : makers) {
        const std::string path = with.image(64 * mebibyte);
        if (shell(command + path) != 0) {
            WARN("skipped " << name << ": its tool is not installed");
            continue;
        }
        auto blank = check_blank_disk(path, with.random);
        REQUIRE_FALSE(blank.has_value());
        CHECK(blank.error().detail().find(name) != std::string::npos);
    }
}

TEST_CASE("expose: a mounted, a used, a vanished and an unfit disk are refused") {
    if (skipped()) return;
    RealHost with;
    LoopDisk disk(64 * mebibyte);
    CHECK(with.expose_error(disk.path()).empty());

    disk.make_ext4();
    CHECK(with.expose_error(disk.path()) == "target_not_blank");
    disk.mount();
    CHECK(with.expose_error(disk.path()) == "target_in_use");
    REQUIRE(shell("umount " + disk.mount_point()) == 0);

    CHECK(with.expose_error(disk.path(), "wwid:guessed") == "override_mismatch");
    const std::string identity = with.host->look_up(disk.path())->facts.identity;
    CHECK(with.expose_error(disk.path(), identity.empty() ? disk.path() : identity).empty());
    CHECK(check_exposed(*with.store, *with.host, disk.path())->override_not_blank);

    CHECK(with.expose_error("/dev/null") == "disk_unsupported");
    const std::string path = disk.path();
    disk.detach();
    CHECK_FALSE(check_exposed(*with.store, *with.host, path).has_value());
    CHECK(with.expose_error("/dev/drover-none") == "disk_not_found");
}

TEST_CASE("expose: a disk that was swapped for another is noticed at the next open") {
    if (skipped()) return;
    RealHost with;
    LoopDisk first(64 * mebibyte);
    REQUIRE(with.expose_error(first.path()).empty());
    REQUIRE(check_exposed(*with.store, *with.host, first.path()).has_value());
    const std::string path = first.path();
    REQUIRE(shell("losetup -d " + path) == 0);
    const std::string other = with.image(64 * mebibyte);
    REQUIRE(shell("losetup " + path + " " + other) == 0);
    auto exposed = check_exposed(*with.store, *with.host, path);
    REQUIRE_FALSE(exposed.has_value());
    CHECK(exposed.error().id() == "target_identity_changed");
}

TEST_CASE("host: the disk of the root filesystem is recognised") {
    if (skipped()) return;
    RealHost with;

    struct stat about {};

    REQUIRE(::stat("/", &about) == 0);
    const auto below = disks_below(about.st_dev);
    const std::string name = testing::shell_output(
        "lsblk -no PKNAME,NAME $(findmnt -no SOURCE /) | head -1 | awk '{print $1}'");
    if (name.empty() || below.empty()) {
        WARN("skipped: the root filesystem is on no block device here");
        return;
    }
    auto own = with.host->own_files_on("/dev/" + name);
    REQUIRE(own.has_value());
    CHECK_FALSE(own->empty());
    CHECK(with.expose_error("/dev/" + name) == "root_disk");
}

TEST_CASE("journal: it lies on a local filesystem that is on no disk of the job") {
    if (skipped()) return;
    const LoopDisk with_files(64 * mebibyte);
    const LoopDisk other(8 * mebibyte);
    with_files.make_ext4();
    with_files.mount();
    Config config;
    CHECK_FALSE(journal_place(config, {other.path()})->has_value());
    config.journal_directory = with_files.mount_point();
    config.journal_mib = 32;
    const auto good = journal_place(config, {other.path()});
    const auto bad = journal_place(config, {other.path(), with_files.path()});
    REQUIRE(good.has_value());
    REQUIRE(good->has_value());
    CHECK((*good)->redo_bytes == 16 * mebibyte);
    CHECK(bad.error().id() == "journal_on_job_disk");
    config.journal_directory = "/dev/shm";
    CHECK(journal_place(config, {other.path()}).error().id() == "journal_not_durable");
    config.journal_directory = with_files.mount_point() + "/missing";
    CHECK(journal_place(config, {other.path()}).error().code() == Errc::not_found);
}

TEST_CASE("host: who holds a filesystem or writes a disk is named") {
    if (skipped()) return;
    RealHost with;
    LoopDisk disk(64 * mebibyte);
    {
        Child writer("exec 3>>" + disk.path() + "; exec sleep 100");
        REQUIRE(eventually([&] { return !with.host->uses(disk.path())->empty(); }));
        const DiskUse use = with.host->uses(disk.path())->front();
        CHECK(use.kind == DiskUse::Kind::writer);
        CHECK(use.detail.find("(pid " + std::to_string(writer.pid()) + ")") != std::string::npos);
    }
    disk.make_ext4();
    disk.mount();
    Child user("cd " + disk.mount_point() + " && exec sleep 100");
    const std::string pid = std::to_string(user.pid());
    REQUIRE(eventually([&] {
        return testing::shell_output("readlink /proc/" + pid + "/cwd") == disk.mount_point();
    }));
    auto unmounted = with.host->unmount(disk.path());
    REQUIRE_FALSE(unmounted.has_value());
    CHECK(unmounted.error().id() == "disk_busy");
    CHECK(unmounted.error().detail().find("(pid " + pid + ")") != std::string::npos);
    user.kill_hard();
    CHECK(with.host->unmount(disk.path()).has_value());
    CHECK(with.host->uses(disk.path())->empty());
}

TEST_CASE("guard: it keeps a disk from everybody, beyond the death of who started it") {
    if (skipped()) return;
    RealHost with;
    LoopDisk disk(64 * mebibyte);
    disk.make_ext4();
    const GuardName name{with.job, Side::source};
    const pid_t owner = ::fork();
    if (owner == 0) {
        const bool held = with.host->hold_guard(name, {disk.path()}).has_value();
        if (held) ::raise(SIGKILL);  // as an agent dies
        ::_exit(1);
    }
    int status = 0;
    REQUIRE(::waitpid(owner, &status, 0) == owner);
    REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));

    CHECK(*with.host->guard_held(name, {disk.path()}));
    CHECK(with.host->hold_guard(name, {disk.path()}).has_value());  // taken over, not doubled
    CHECK(shell("mount " + disk.path() + " " + disk.mount_point()) != 0);
    auto second = with.host->hold_guard({with.job, Side::target}, {disk.path()});
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().id() == "disk_busy");

    REQUIRE(with.host->end_guard(name).has_value());
    CHECK_FALSE(*with.host->guard_held(name, {disk.path()}));
    disk.mount();
}

TEST_CASE("guard: a partition cannot be mounted while the whole disk is held") {
    if (skipped()) return;
    RealHost with;
    LoopDisk disk(64 * mebibyte);
    const std::string partition = disk.path() + "p1";
    shell("printf 'label: gpt\\n,\\n' | sfdisk " + disk.path());
    if (!eventually([&] { return std::filesystem::exists(partition); }, 2) ||
        shell("mkfs.ext4 -q -F " + partition) != 0) {
        WARN("skipped: this kernel shows no partitions of loop devices");
        return;
    }
    const GuardName name{with.job, Side::source};
    REQUIRE(shell("mount " + partition + " " + disk.mount_point()) == 0);
    auto uses = with.host->uses(disk.path());
    REQUIRE(uses->size() == 1);
    CHECK(uses->front().detail.find(disk.mount_point()) != std::string::npos);
    CHECK_FALSE(with.host->hold_guard(name, {disk.path()}).has_value());
    REQUIRE(with.host->unmount(disk.path()).has_value());
    REQUIRE(with.host->hold_guard(name, {disk.path()}).has_value());
    CHECK(shell("mount " + partition + " " + disk.mount_point()) != 0);
}

TEST_CASE("guard: an image file is held by a lock") {
    RealHost with;
    const std::string path = with.image(mebibyte);
    const GuardName name{with.job, Side::source};
    REQUIRE(with.host->hold_guard(name, {path}).has_value());
    CHECK(*with.host->guard_held(name, {path}));
    CHECK(shell("flock -n " + path + " true") != 0);
    auto second = with.host->hold_guard({with.job, Side::target}, {path});
    CHECK_FALSE(second.has_value());
    REQUIRE(with.host->end_guard(name).has_value());
    CHECK(shell("flock -n " + path + " true") == 0);
}

TEST_CASE("guard: it does not let go for a name that now means another disk") {
    RealHost with;
    const std::string path = with.image(mebibyte);
    const GuardName name{with.job, Side::source};
    REQUIRE(with.host->hold_guard(name, {path}).has_value());
    REQUIRE(shell("mv " + path + " " + path + ".old && truncate -s 1M " + path) == 0);
    CHECK_FALSE(*with.host->guard_held(name, {path}));
    CHECK_FALSE(with.host->hold_guard(name, {path}).has_value());
    CHECK(shell("flock -n " + path + ".old true") != 0);
}

TEST_CASE("fence: on a real disk every write after it fails, and a release gives it back") {
    if (skipped()) return;
    RealHost with;
    World w;  // journal, identity and effects
    w.boot();
    LoopDisk disk(64 * mebibyte);
    disk.make_ext4();
    disk.mount();
    REQUIRE(shell("echo before > " + disk.mount_point() + "/file && sync") == 0);
    const AgentParts parts{w.config,
                           w.paths,
                           w.identity,
                           *with.host,
                           *w.process->journal,
                           *w.process->fences,
                           *w.process->exposures,
                           w.clock,
                           {}};
    Fencer fencer(parts);
    testing::FakeSource replica(w.replica_world);
    Effect effect = w.fence(50);
    effect.id.job = with.job;
    effect.work = FenceWork{w.token, 1, {disk.path()}, 4096, {}, {}};
    auto fenced = fencer.fence(effect, replica);
    if (!fenced) FAIL(fenced.error().text());

    CHECK_FALSE(can_write(disk.path()));
    CHECK(shell("mount " + disk.path() + " " + disk.mount_point()) != 0);
    CHECK(shell("mkfs.ext4 -q -F -F " + disk.path()) != 0);
    const auto marker = *w.process->fences->find(w.token);
    REQUIRE(marker.has_value());
    CHECK(*fencer.completions(*marker) == 0);
    CHECK(fencer.check(with.job, w.token).has_value());

    REQUIRE(shell("blockdev --setrw " + disk.path()) == 0);
    REQUIRE(can_write(disk.path()));  // somebody who insists is not stopped, but noticed
    CHECK(*fencer.completions(*marker) == 1);
    CHECK(fencer.check(with.job, w.token).error().id() == "fence_breached");

    Effect release = w.release(60);
    release.id.job = with.job;
    release.work = ReleaseWork{w.token, {}};
    REQUIRE(fencer.release(release).has_value());
    CHECK(can_write(disk.path()));
    CHECK_FALSE(*with.host->guard_held({with.job, Side::source}, {disk.path()}));
    CHECK_FALSE(w.process->fences->find(w.token)->has_value());
}

TEST_CASE("fence: a disk that a process keeps writing is not fenced, and stays in service") {
    if (skipped()) return;
    RealHost with;
    World w;
    w.boot();
    LoopDisk disk(64 * mebibyte);
    Child writer("exec 3>>" + disk.path() + "; exec sleep 100");
    REQUIRE(eventually([&] { return !with.host->uses(disk.path())->empty(); }));
    const AgentParts parts{w.config,
                           w.paths,
                           w.identity,
                           *with.host,
                           *w.process->journal,
                           *w.process->fences,
                           *w.process->exposures,
                           w.clock,
                           {}};
    Fencer fencer(parts);
    testing::FakeSource replica(w.replica_world);
    Effect effect = w.fence(50);
    effect.id.job = with.job;
    effect.work = FenceWork{w.token, 1, {disk.path()}, 4096, {}, {}};
    auto fenced = fencer.fence(effect, replica);
    REQUIRE_FALSE(fenced.has_value());
    CHECK(fenced.error().id() == "source_in_use");
    CHECK(fenced.error().detail().find("pid " + std::to_string(writer.pid())) != std::string::npos);
    CHECK(can_write(disk.path()));
}

Hash digest_of(const std::string& path) {
    return sha256(*read_file(path));
}

TEST_CASE("fence: writes are counted although the kernel's accounting was switched off") {
    if (skipped()) return;
    RealHost with;
    const LoopDisk disk(8 * mebibyte);
    const std::string name = std::filesystem::path(disk.path()).filename().native();
    REQUIRE(shell("echo 0 | tee /sys/block/" + name + "/queue/iostats") == 0);
    const auto before = with.host->write_mark(disk.path());
    REQUIRE(before.has_value());
    REQUIRE(can_write(disk.path()));
    const auto after = with.host->write_mark(disk.path());
    REQUIRE(after.has_value());
    CHECK(*after != *before);
}

/// A pipe as libraries open their files: whatever is started while it is open inherits it, unless
/// somebody sees to it.
struct InheritedPipe {
    InheritedPipe() {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe(ends) == 0);
        reader.reset(ends[0]);
        writer.reset(ends[1]);
    }

    /// True if nobody else has the other end once we have closed ours.
    bool ends_with_us() {
        writer.reset();
        pollfd end{reader.get(), POLLIN, 0};
        return ::poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
    }

    Fd reader;
    Fd writer;
};

TEST_CASE("guard: it inherits no open file of the agent, whose connections end with it") {
    RealHost with;
    InheritedPipe connection;
    REQUIRE(with.host->hold_guard({with.job, Side::source}, {with.image(mebibyte)}).has_value());
    CHECK(connection.ends_with_us());
}

TEST_CASE("hooks: a workload that a hook leaves running inherits no open file of the agent") {
    TempDir dir;
    const std::string path = (dir.path() / "hook").native();
    const std::string pid = (dir.path() / "pid").native();
    std::ofstream(path) << "#!/bin/sh\nsleep 100 >/dev/null 2>&1 &\necho $! >" << pid << "\n";
    REQUIRE(shell("chmod 0755 " + path) == 0);
    RealHost with({{"app", path}});
    InheritedPipe connection;
    REQUIRE(with.host->run_hook({{"app", digest_of(path)}, HookStep::post_activate, "web", {}, {}})
                .has_value());
    CHECK(connection.ends_with_us());
    CHECK(shell("kill $(cat " + pid + ")") == 0);
}

TEST_CASE("hooks: only what root alone could have written is run, with its environment") {
    TempDir dir;
    const std::string path = (dir.path() / "hook").native();
    const std::string out = (dir.path() / "out").native();
    std::ofstream(path) << "#!/bin/sh\nenv > " << out << "\n";
    RealHost with({{"stop-app", path}, {"missing", (dir.path() / "none").native()}});
    HookRun run{
        {"stop-app", digest_of(path)}, HookStep::pre_fence, "move-web", {"/dev/a", "/dev/b"}, {}};

    REQUIRE(shell("chmod 0777 " + path) == 0);
    CHECK(with.host->run_hook(run).error().id() == "hook_unsafe");
    REQUIRE(shell("chmod 0600 " + path) == 0);
    CHECK(with.host->run_hook(run).error().id() == "hook_unsafe");
    REQUIRE(shell("chmod 0755 " + path) == 0);
    REQUIRE(with.host->run_hook(run).has_value());
    const std::string environment = *read_text(out);
    CHECK(environment.find("DROVER_JOB=move-web\n") != std::string::npos);
    CHECK(environment.find("DROVER_STEP=pre-fence\n") != std::string::npos);
    CHECK(environment.find("DROVER_DISKS=/dev/a /dev/b\n") != std::string::npos);
    CHECK(environment.find("DROVER_TOKEN=00000000000000000000000000000000\n") != std::string::npos);

    CHECK(with.host->check_hook("missing").error().id() == "hook_missing");
    CHECK(with.host->check_hook("rm -rf").error().id() == "hook_unknown");
    REQUIRE(shell("chmod 0777 " + dir.path().native()) == 0);
    CHECK(with.host->run_hook(run).error().id() == "hook_unsafe");
}

TEST_CASE("hooks: a file that is not the one that was approved is not run") {
    TempDir dir;
    const std::string path = (dir.path() / "hook").native();
    const std::string out = (dir.path() / "out").native();
    std::ofstream(path) << "#!/bin/sh\ntrue\n";
    REQUIRE(shell("chmod 0755 " + path) == 0);
    RealHost with({{"app", path}});
    const HookRun run{{"app", *with.host->check_hook("app")}, HookStep::pre_fence, "web", {}, {}};
    REQUIRE(with.host->run_hook(run).has_value());

    std::ofstream(path) << "#!/bin/sh\ntouch " << out << "\n";
    const auto refused = with.host->run_hook(run);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "hook_changed");
    CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("hooks: a failing and an endless one are told apart, and the endless one is killed") {
    TempDir dir;
    const std::string path = (dir.path() / "hook").native();
    std::ofstream(path) << "#!/bin/sh\n[ \"$DROVER_STEP\" = validate ] && exit 3\n"
                           "trap '' TERM\nsleep 100 & wait\nsleep 100\n";
    REQUIRE(shell("chmod 0755 " + path) == 0);
    RealHost with({{"app", path}}, 1);
    HookRun run{{"app", digest_of(path)}, HookStep::validate, "move-web", {}, {}};
    auto failed = with.host->run_hook(run);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().detail().find("exited with 3") != std::string::npos);
    run.step = HookStep::pre_fence;
    CHECK(with.host->run_hook(run).error().id() == "hook_timed_out");
}

}  // namespace
}  // namespace drover::agent
