// drover-agent doctor as a person runs it, on a real loop device.
#include "base/file.h"
#include "tests/agent/loop_disk.h"

#include <fstream>

#include <catch2/catch.hpp>

#include <sys/stat.h>

namespace drover::agent {
namespace {

using testing::LoopDisk;
using testing::shell;
using testing::shell_output;
using testing::TempDir;

constexpr std::uint64_t mebibyte = 1U << 20;

/// An agent's configuration with its state directory, on whatever /var/tmp is on.
struct Configured {
    TempDir dir;
    std::string file = (dir.path() / "agent.toml").native();

    explicit Configured(const std::string& more = {}) {
        std::ofstream(file) << "name = \"web-01\"\nserver = \"127.0.0.1:6325\"\nroles = "
                               "[\"source\"]\nstate = \""
                            << (dir.path() / "state").native() << "\"\n"
                            << more;
    }

    [[nodiscard]] std::string command(const std::string& arguments) const {
        return std::string(AGENT_PROGRAM) + " doctor --config " + file + " " + arguments;
    }
};

bool skipped() {
    const std::string reason = testing::why_no_loop_devices();
    if (!reason.empty()) WARN("skipped: " << reason);
    return !reason.empty();
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Everything that a look could leave behind.
std::string traces_of(const LoopDisk& disk) {
    const std::string name = std::filesystem::path(disk.path()).filename().native();
    return shell_output("ls -R /sys/fs/bpf/drover 2>/dev/null | sort; cat /sys/block/" + name +
                        "/queue/iostats; awk '{print $7, $14}' /sys/block/" + name +
                        "/stat; ls -R /run/udev/rules.d 2>/dev/null");
}

}  // namespace

TEST_CASE("doctor: a disk with a filesystem on its partition is explained and left as it is") {
    if (skipped()) return;
    const Configured agent;
    const LoopDisk disk(64 * mebibyte);
    REQUIRE(shell("printf 'label: gpt\\nstart=2048, size=65536\\n' | sfdisk -q " + disk.path()) ==
            0);
    shell("partx -u " + disk.path());
    const std::string before = traces_of(disk);
    const std::string text = shell_output(agent.command("--disk " + disk.path()));
    INFO(text);
    CHECK(has(text, "loop device loop"));
    CHECK(has(text, "covered: they move with the whole disk"));
    CHECK(has(text, "nobody uses it"));
    CHECK(has(text, "0 failed"));
    CHECK(shell(agent.command("--disk " + disk.path())) == 0);
    CHECK(traces_of(disk) == before);
    CHECK_FALSE(std::filesystem::exists(agent.dir.path() / "state"));

    const std::string partition = disk.path() + "p1";

    struct stat status {};

    if (::stat(partition.c_str(), &status) != 0) return;
    CHECK(shell(agent.command("--disk " + partition)) == 7);
    CHECK(has(shell_output(agent.command("--disk " + partition)), "name the whole disk below it"));
}

TEST_CASE("doctor: accounting that is off is said, and not switched on") {
    if (skipped()) return;
    const Configured agent;
    const LoopDisk disk(16 * mebibyte);
    const std::string name = std::filesystem::path(disk.path()).filename().native();
    const std::string iostats = "/sys/block/" + name + "/queue/iostats";
    if (shell("echo 0 | tee " + iostats) != 0) return;
    const std::string text = shell_output(agent.command("-o json --disk " + disk.path()));
    INFO(text);
    CHECK(has(text, "\"found\":\"queue/iostats is 0\""));
    CHECK(shell_output("cat " + iostats) == "0");
    // The setting outlives the attachment of a loop device.
    CHECK(shell("echo 1 | tee " + iostats) == 0);
}

TEST_CASE("doctor: a mounted and a read-only disk are said to be so") {
    if (skipped()) return;
    const Configured agent;
    const LoopDisk disk(32 * mebibyte);
    disk.make_ext4();
    disk.mount();
    CHECK(has(shell_output(agent.command("--disk " + disk.path())), "is mounted at"));
    REQUIRE(shell("umount " + disk.mount_point()) == 0);
    REQUIRE(shell("blockdev --setro " + disk.path()) == 0);
    CHECK(has(shell_output(agent.command("--disk " + disk.path())), "the kernel has it read-only"));
}

TEST_CASE("doctor: an image file is scanned, and a loop device over it holds it") {
    const Configured agent;
    const std::string image = (agent.dir.path() / "image").native();
    REQUIRE(shell("truncate -s 8M " + image) == 0);
    const std::string text = shell_output(agent.command("--disk " + image));
    INFO(text);
    CHECK(has(text, "image file, 8 MiB"));
    CHECK(has(text, ": tracker scan"));
    CHECK(has(text, "each pass reads all 8 MiB"));
}

TEST_CASE("doctor: what is missing makes it exit with 7, and it still says all the rest") {
    SECTION("a disk that does not exist") {
        const Configured agent;
        CHECK(shell(agent.command("--disk /dev/no-such-disk")) == 7);
    }
    SECTION("a hook that does not exist") {
        const Configured agent("[hooks]\nstop-app = \"/nonexistent/stop\"\n");
        CHECK(shell(agent.command("")) == 7);
        CHECK(has(shell_output(agent.command("")), "hook stop-app"));
    }
    SECTION("a configuration with a mistake") {
        const Configured agent("mistake = 1\n");
        CHECK(shell(agent.command("")) == 7);
        const std::string text = shell_output(agent.command(""));
        CHECK(has(text, "unknown key"));
        CHECK(has(text, "kernel"));
    }
    SECTION("a wrong word on the command line is another thing") {
        const Configured agent;
        CHECK(shell(agent.command("-o yaml")) == 2);
    }
}

TEST_CASE("doctor: without a configuration file the host is judged all the same") {
    const TempDir dir;
    const std::string text = shell_output(std::string(AGENT_PROGRAM) + " doctor --config " +
                                          (dir.path() / "none.toml").native());
    INFO(text);
    CHECK(has(text, "there is no configuration file"));
    CHECK(has(text, "kernel"));
}

}  // namespace drover::agent
