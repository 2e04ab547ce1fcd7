#include "tests/agent/loop_disk.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent::testing {

int shell(const std::string& command) {
    const int status = std::system((command + " >/dev/null 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

std::string shell_output(const std::string& command) {
    std::string out;
    FILE* pipe = ::popen(("{ " + command + "; } 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return out;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += static_cast<char>(c);
    ::pclose(pipe);
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
}

std::string why_no_loop_devices() {
    if (::geteuid() != 0) return "not root";
    if (shell("command -v losetup") != 0) return "losetup is not installed";
    if (shell("losetup -f") != 0) return "losetup -f finds no free loop device";
    return {};
}

LoopDisk::LoopDisk(std::uint64_t size_bytes) {
    const std::string image = (dir_.path() / "disk").native();
    REQUIRE(shell("truncate -s " + std::to_string(size_bytes) + " " + image) == 0);
    path_ = shell_output("losetup -f --show -P " + image);
    REQUIRE(path_.starts_with("/dev/loop"));
    // BLKROSET outlives the attachment: an earlier user's fence would still hold.
    REQUIRE(shell("blockdev --setrw " + path_) == 0);
    std::filesystem::create_directory(mount_point());
}

LoopDisk::~LoopDisk() {
    detach();
}

void LoopDisk::detach() {
    if (path_.empty()) return;
    shell("umount -A " + path_);
    shell("umount " + mount_point());
    shell("blockdev --setrw " + path_);
    shell("losetup -d " + path_);
    path_.clear();
}

void LoopDisk::make_ext4() const {
    REQUIRE(shell("mkfs.ext4 -q -F " + path_) == 0);
}

void LoopDisk::mount() const {
    REQUIRE(shell("mount " + path_ + " " + mount_point()) == 0);
}

Child::Child(const std::string& command) {
    pid_ = ::fork();
    if (pid_ == 0) {
        ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
        ::_exit(127);
    }
    REQUIRE(pid_ > 0);
}

Child::~Child() {
    kill_hard();
}

void Child::kill_hard() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

bool eventually(const std::function<bool()>& condition, int seconds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return condition();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace drover::agent::testing
