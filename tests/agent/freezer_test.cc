// Freezing real filesystems: what it holds still, what thaws it, and what the hooks hear.
#include "agent/freezer.h"

#include "base/file.h"
#include "tests/agent/loop_disk.h"

#include <chrono>
#include <csignal>
#include <fstream>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

using Clock = std::chrono::steady_clock;

/// An ext4 filesystem of our own, mounted.
class MountedDisk {
  public:
    MountedDisk() {
        disk_.make_ext4();
        disk_.mount();
    }

    /// A watchdog that has just thawed it may not be gone yet.
    ~MountedDisk() {
        CHECK(testing::eventually(
            [this] { return testing::shell("umount " + disk_.mount_point()) == 0; }));
    }

    MountedDisk(const MountedDisk&) = delete;
    MountedDisk& operator=(const MountedDisk&) = delete;

    [[nodiscard]] std::string device() const { return disk_.path(); }

    [[nodiscard]] std::string mount_point() const { return disk_.mount_point(); }

    /// Beside the filesystem.
    [[nodiscard]] std::filesystem::path directory() const { return directory_.path(); }

  private:
    testing::LoopDisk disk_{16U << 20};
    testing::TempDir directory_;
};

std::int64_t ms_since(Clock::time_point began) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count();
}

/// Writes and syncs a file in a process of its own. It ends when the filesystem lets it.
class Writer {
  public:
    explicit Writer(std::string directory)
        : directory_(std::move(directory)) {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe(ends) == 0);
        process_ = ::fork();
        if (process_ == 0) {
            const int file =
                ::open((directory_ + "/written").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
            const bool good = file >= 0 && ::write(file, "x", 1) == 1 && ::fsync(file) == 0;
            ::_exit(good ? 0 : 1);
        }
        ::close(ends[1]);
        done_ = ends[0];
    }

    /// A test that failed may have left it waiting for ever.
    ~Writer() {
        if (!ends_within(0)) thaw(directory_);
        ::close(done_);
        int status = 0;
        ::waitpid(process_, &status, 0);
        CHECK(status == 0);
    }

    /// The pipe's other end closes with the process.
    [[nodiscard]] bool ends_within(int ms) const {
        pollfd end{done_, POLLIN, 0};
        return ::poll(&end, 1, ms) > 0;
    }

  private:
    static void thaw(const std::string& directory) {
        const Fd mount(::open(directory.c_str(), O_RDONLY | O_DIRECTORY));
        ::ioctl(mount.get(), FITHAW, 0);
    }

    const std::string directory_;
    pid_t process_ = -1;
    int done_ = -1;
};

std::string lines_of(const std::filesystem::path& file) {
    const auto text = read_text(file, 4096);
    return text ? *text : std::string();
}

/// A directory of hooks that write what they hear to a file beside it.
struct HookDirectory {
    explicit HookDirectory(const MountedDisk& disk)
        : path(disk.directory() / "hooks"),
          heard(disk.directory() / "heard") {
        std::filesystem::create_directory(path);
        add("10-database", "exit 0");
        std::ofstream(path / "README") << "not executable\n";
    }

    void add(const std::string& name, const std::string& end) const {
        std::ofstream(path / name)
            << "#!/bin/sh\necho " << name << " $1 >>" << heard.native() << "\n"
            << end << "\n";
        REQUIRE(::chmod((path / name).c_str(), 0700) == 0);
    }

    std::filesystem::path path;
    std::filesystem::path heard;
};

bool can_mount() {
    const std::string why_not = testing::why_no_loop_devices();
    if (!why_not.empty()) WARN("skipped: " << why_not);
    return why_not.empty();
}

TEST_CASE("freeze: writes wait until the thaw, and the point is worth what stood still") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const HookDirectory hooks(disk);
    const bool with_hooks = GENERATE(false, true);
    FreezePlan plan{{disk.device()}, with_hooks ? hooks.path.native() : "", 5'000, 5'000};
    const auto freezer = make_freezer(plan);
    REQUIRE(freezer->prepare());
    REQUIRE(freezer->settle());
    REQUIRE(freezer->freeze());
    {
        const Writer writer(disk.mount_point());
        CHECK_FALSE(writer.ends_within(200));
        const auto kind = freezer->thaw();
        REQUIRE(kind.has_value());
        CHECK(*kind == (with_hooks ? PointKind::application : PointKind::filesystem));
        CHECK(writer.ends_within(5'000));
    }
    CHECK(lines_of(hooks.heard) == (with_hooks ? "10-database freeze\n10-database thaw\n" : ""));
}

TEST_CASE("freeze: what lasts too long is thawed beside us, and is no point") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const HookDirectory hooks(disk);
    const auto freezer = make_freezer({{disk.device()}, hooks.path.native(), 300, 5'000});
    REQUIRE(freezer->prepare());
    REQUIRE(freezer->freeze());
    const Writer writer(disk.mount_point());
    CHECK(writer.ends_within(5'000));
    const auto kind = freezer->thaw();
    REQUIRE_FALSE(kind.has_value());
    CHECK(kind.error().id() == "freeze_ended_early");
    CHECK(lines_of(hooks.heard) == "10-database freeze\n10-database thaw\n");
}

TEST_CASE("freeze: a filesystem that froze only when the time was over is thawed as well") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const auto freezer = make_freezer({{disk.device()}, "", 100, 5'000});
    REQUIRE(freezer->prepare());
    REQUIRE(freezer->freeze());
    {
        const Writer early(disk.mount_point());
        REQUIRE(early.ends_within(5'000));
    }
    const Fd mount(::open(disk.mount_point().c_str(), O_RDONLY | O_DIRECTORY));
    REQUIRE(::ioctl(mount.get(), FIFREEZE, 0) == 0);
    const Writer late(disk.mount_point());
    CHECK(late.ends_within(5'000));
    CHECK(freezer->thaw().error().id() == "freeze_ended_early");
}

TEST_CASE("freeze: an agent that is killed leaves nothing frozen") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const HookDirectory hooks(disk);
    const pid_t agent = ::fork();
    if (agent == 0) {
        const auto freezer = make_freezer({{disk.device()}, hooks.path.native(), 60'000, 5'000});
        const bool frozen = freezer->prepare() && freezer->freeze();
        if (frozen) ::kill(::getpid(), SIGKILL);
        ::_exit(1);
    }
    int status = 0;
    REQUIRE(::waitpid(agent, &status, 0) == agent);
    REQUIRE(WIFSIGNALED(status));
    const auto began = Clock::now();
    {
        const Writer writer(disk.mount_point());
        CHECK(writer.ends_within(5'000));
    }
    CHECK(ms_since(began) < 5'000);
    // Its hook runs after the thaw.
    CHECK(testing::eventually(
        [&] { return lines_of(hooks.heard) == "10-database freeze\n10-database thaw\n"; }));
}

TEST_CASE("freeze: a hook that fails ends it before anything is frozen, and is told to thaw") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const HookDirectory hooks(disk);
    hooks.add("20-broken", "[ $1 = thaw ]");
    const auto freezer = make_freezer({{disk.device()}, hooks.path.native(), 5'000, 5'000});
    REQUIRE(freezer->prepare());
    const auto frozen = freezer->freeze();
    REQUIRE_FALSE(frozen);
    CHECK(frozen.error().id() == "hook_failed");
    const Writer writer(disk.mount_point());
    CHECK(writer.ends_within(5'000));
    CHECK(lines_of(hooks.heard) ==
          "10-database freeze\n20-broken freeze\n10-database thaw\n20-broken thaw\n");
}

TEST_CASE("freeze: a filesystem that somebody else froze is left to them") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const int mount = ::open(disk.mount_point().c_str(), O_RDONLY | O_DIRECTORY);
    const auto freezer = make_freezer({{disk.device()}, "", 5'000, 5'000});
    REQUIRE(freezer->prepare());
    REQUIRE(::ioctl(mount, FIFREEZE, 0) == 0);
    const auto frozen = freezer->freeze();
    REQUIRE_FALSE(frozen);
    CHECK(frozen.error().id() == "freeze_failed");
    {
        const Writer writer(disk.mount_point());
        CHECK_FALSE(writer.ends_within(200));
        REQUIRE(::ioctl(mount, FITHAW, 0) == 0);
        CHECK(writer.ends_within(5'000));
    }
    ::close(mount);
}

TEST_CASE("freeze: hooks that others could change are not run, and no filesystem is no freeze") {
    if (!can_mount()) return;
    const MountedDisk disk;
    const HookDirectory hooks(disk);
    REQUIRE(::chmod((hooks.path / "10-database").c_str(), 0777) == 0);
    const auto unsafe = make_freezer({{disk.device()}, hooks.path.native(), 5'000, 5'000});
    CHECK(unsafe->prepare().error().id() == "hook_unsafe");
    const testing::LoopDisk bare(8U << 20);
    const auto nothing = make_freezer({{bare.path()}, "", 5'000, 5'000});
    CHECK(nothing->prepare().error().id() == "nothing_to_freeze");
}

}  // namespace
}  // namespace drover::agent
