// Overlays on this host: what is written to them is nowhere else, and who holds one is named.
#include "agent/overlay.h"

#include "tests/agent/loop_disk.h"

#include <catch2/catch.hpp>

#include <fcntl.h>

namespace drover::agent {
namespace {

using testing::shell;
using testing::shell_output;

/// A filesystem that shares blocks, with an image on it; and one beside it, over a loop device.
struct Sharing {
    Sharing() {
        if (!testing::why_no_loop_devices().empty()) return;
        image = (dir.path() / "mnt/disk.img").native();
        const std::string mnt = (dir.path() / "mnt").native();
        const std::string file = (dir.path() / "fs").native();
        is_there = shell("mkdir " + mnt + " && truncate -s 400M " + file + " && mkfs.xfs -q " +
                         file + " && mount -o loop " + file + " " + mnt + " && mkdir " + mnt +
                         "/tests && dd if=/dev/urandom bs=1M count=8 status=none of=" + image) == 0;
        if (!is_there) WARN("skipped: no XFS can be mounted here");
        if (is_there) loop = shell_output("losetup --show -f " + image);
    }

    ~Sharing() {
        if (!loop.empty()) (void)shell("losetup -d " + loop);
        (void)shell("umount " + (dir.path() / "mnt").native() + " 2>/dev/null");
    }

    [[nodiscard]] OverlayPlan plan(const std::string& kind, const std::string& disk) const {
        return {"some-job", {disk}, dir.path() / "mnt/tests", kind};
    }

    [[nodiscard]] std::string sum() const { return shell_output("sha256sum <" + image); }

    [[nodiscard]] bool is_clean() const {
        return std::filesystem::is_empty(dir.path() / "mnt/tests");
    }

    testing::TempDir dir;
    std::string image;
    std::string loop;
    bool is_there = false;
};

TEST_CASE("overlay: a clone of an image, or of a loop device over one, takes all writes") {
    const Sharing with;
    if (!with.is_there) return;
    for (const std::string& disk : {with.image, with.loop}) {
        INFO(disk);
        const std::string before = with.sum();
        const OverlayPlan plan = with.plan("reflink", disk);
        const auto can = can_make_overlays(plan);
        INFO((can ? std::string() : can.error().text()));
        REQUIRE(can.has_value());
        CHECK(with.is_clean());
        auto made = make_overlay_files(plan);
        REQUIRE(made.has_value());
        REQUIRE(made->size() == 1);
        CHECK(made->front().starts_with("/dev/loop") == (disk == with.loop));
        CHECK(shell_output("sha256sum <" + made->front()) == before);
        CHECK(shell("mkfs.ext4 -q -F " + made->front()) == 0);
        CHECK(with.sum() == before);
        // Over what an earlier attempt left.
        made = make_overlay_files(plan);
        REQUIRE(made.has_value());
        CHECK(shell_output("sha256sum <" + made->front()) == before);
        REQUIRE(remove_overlay_files(plan).has_value());
        REQUIRE(remove_overlay_files(plan).has_value());
        CHECK(with.is_clean());
        CHECK(with.sum() == before);
    }
}

TEST_CASE("overlay: a qcow2 file takes all writes") {
    const Sharing with;
    if (!with.is_there) return;
    const OverlayPlan plan = with.plan("qcow2", with.loop);
    if (const auto can = can_make_overlays(plan); !can) {
        WARN("skipped: " << can.error().text());
        return;
    }
    const std::string before = with.sum();
    const auto made = make_overlay_files(plan);
    REQUIRE(made.has_value());
    const std::string& file = made->front();
    CHECK(shell("qemu-io -f qcow2 -c 'write -P 0x5a 1M 64k' -c 'read -P 0x5a 1M 64k' " + file +
                " >/dev/null") == 0);
    CHECK(with.sum() == before);
    {
        const testing::Child user("exec 3>>" + file + "; exec sleep 100");
        REQUIRE(testing::eventually([&] { return !remove_overlay_files(plan).has_value(); }));
        CHECK(remove_overlay_files(plan).error().id() == "disk_busy");
    }
    REQUIRE(remove_overlay_files(plan).has_value());
    CHECK(with.is_clean());
}

TEST_CASE("overlay: a snapshot of the device mapper takes all writes") {
    if (const std::string why = testing::why_no_loop_devices(); !why.empty()) {
        WARN("skipped: " << why);
        return;
    }
    const testing::LoopDisk disk(16U << 20);
    disk.make_ext4();
    const testing::TempDir tests;
    const OverlayPlan plan{"some-job", {disk.path()}, tests.path(), "dm-snapshot"};
    if (const auto can = can_make_overlays(plan); !can) {
        CHECK(can.error().id() == "overlay_unsupported");
        WARN("skipped: " << can.error().text());
        return;
    }
    const auto sum = [](const std::string& path) {
        return shell_output("dd status=none bs=1M iflag=direct if=" + path + " | sha256sum");
    };
    const std::string before = sum(disk.path());
    // The agent's guard has it all the time.
    const Fd guard(::open(disk.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    REQUIRE(guard.valid());
    auto made = make_overlay_files(plan);
    REQUIRE(made.has_value());
    std::string device = made->front();
    CHECK(device.starts_with("/dev/dm-"));
    CHECK(sum(device) == before);
    CHECK(shell("dd status=none if=/dev/urandom bs=64k count=4 seek=8 oflag=direct of=" + device) ==
          0);
    CHECK(sum(device) != before);
    CHECK(sum(disk.path()) == before);
    // Over what an earlier attempt left.
    made = make_overlay_files(plan);
    REQUIRE(made.has_value());
    device = made->front();
    CHECK(sum(device) == before);
    const std::string at = (tests.path() / "workload").native();
    REQUIRE(shell("mkdir " + at + " && mount " + device + " " + at + " && touch " + at + "/new") ==
            0);
    const auto removed = remove_overlay_files(plan);
    REQUIRE_FALSE(removed.has_value());
    CHECK(removed.error().id() == "disk_busy");
    REQUIRE(shell("umount " + at + " && rmdir " + at) == 0);
    CHECK(sum(disk.path()) == before);
    // As after a kill between the parts of making one: the loop devices are left over.
    REQUIRE(shell("dmsetup remove --noudevrules drover-test-some-job-0") == 0);
    REQUIRE(remove_overlay_files(plan).has_value());
    REQUIRE(remove_overlay_files(plan).has_value());
    CHECK(std::filesystem::is_empty(tests.path()));
    CHECK(shell("losetup -a | grep -q " + tests.path().native()) != 0);
    CHECK(shell("losetup -a | grep -q '(" + disk.path() + ")'") != 0);
    CHECK(sum(disk.path()) == before);
}

TEST_CASE("overlay: one that is mounted stays, and the mount is named") {
    const Sharing with;
    if (!with.is_there) return;
    const OverlayPlan plan = with.plan("reflink", with.loop);
    const auto made = make_overlay_files(plan);
    REQUIRE(made.has_value());
    const std::string at = (with.dir.path() / "workload").native();
    REQUIRE(shell("mkfs.ext4 -q -F " + made->front() + " && mkdir " + at + " && mount " +
                  made->front() + " " + at) == 0);
    const auto removed = remove_overlay_files(plan);
    REQUIRE_FALSE(removed.has_value());
    CHECK(removed.error().id() == "disk_busy");
    CHECK(removed.error().detail().find(at) != std::string::npos);
    REQUIRE(shell("umount " + at) == 0);
    REQUIRE(remove_overlay_files(plan).has_value());
    CHECK(with.is_clean());
}

TEST_CASE("overlay: a kind that is not possible is refused with the reason") {
    const Sharing with;
    if (!with.is_there) return;
    OverlayPlan plan = with.plan("reflink", with.image);
    plan.directory = with.dir.path();
    CHECK(can_make_overlays(plan).error().id() == "overlay_unsupported");
    plan.directory = with.dir.path() / "missing";
    CHECK(can_make_overlays(plan).error().id() == "overlay_unsupported");
    CHECK(can_make_overlays(with.plan("dm-snapshot", with.image)).error().id() ==
          "overlay_unsupported");
    // On a disk of the job.
    OverlayPlan on_itself = with.plan(
        "qcow2", shell_output("findmnt -no SOURCE " + (with.dir.path() / "mnt").native()));
    CHECK(can_make_overlays(on_itself).error().id() == "overlay_unsupported");
}

}  // namespace
}  // namespace drover::agent
