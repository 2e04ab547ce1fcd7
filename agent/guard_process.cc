#include "agent/block_nodes.h"
#include "agent/guard.h"
#include "agent/local_socket.h"
#include "agent/mounts.h"

#include <cerrno>
#include <csignal>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

constexpr int hold_tries_max = 10;
constexpr useconds_t hold_wait_us = 100'000;
constexpr std::size_t request_bytes_max = 64;

struct Held {
    std::vector<Fd> disks;
    std::string ids;  ///< one line each: the answer to a probe
};

/// Tries for a second: udev and blkid open disks for moments.
Result<Fd> hold_disk(const DiskNodes& disk) {
    for (int tries = 1;; ++tries) {
        Fd fd(::open(disk.path.c_str(), O_RDONLY | O_CLOEXEC | (disk.is_block ? O_EXCL : 0)));
        const bool locked =
            fd.valid() && (disk.is_block || ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0);
        if (locked) return fd;
        const int number = errno;
        if (number != EBUSY && number != EWOULDBLOCK) return errno_error(number, "hold", disk.path);
        if (tries == hold_tries_max) break;
        ::usleep(hold_wait_us);
    }
    std::vector<std::string> users;
    if (auto uses = disk_uses(disk))
        for (const DiskUse& use : *uses) users.push_back(use.detail);
    constexpr std::size_t shown_max = 5;
    return Error(
        Errc::unavailable, "disk_busy",
        disk.path + " is in use: " +
            (users.empty() ? "another process holds it exclusively" : joined(users, shown_max)));
}

Result<Held> hold_all(const std::vector<std::string>& disks) {
    Held held;
    for (const std::string& path : disks) {
        TRY(const DiskNodes disk, find_nodes(path));
        TRY(Fd fd, hold_disk(disk));
        held.disks.push_back(std::move(fd));
        TRY(const std::string id, guarded_id(path));
        held.ids += id + "\n";
    }
    return held;
}

void say(int fd, const std::string& line) {
    // Nobody may be listening any more; then nobody needs the answer.
    (void)write_all(fd, as_bytes(line), "the starter of the guard");
}

/// Until somebody trusted says "end".
void serve(int listener, Held& held, const fs::path& socket, const fs::path& pid_file) {
    for (;;) {
        const Fd peer(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer.valid()) {
            ::usleep(hold_wait_us);
            continue;
        }
        if (!local_peer_is_trusted(peer.get())) continue;
        const timeval limit{1, 0};
        ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ::setsockopt(peer.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        const std::string request = read_line(peer.get(), request_bytes_max);
        if (request == "probe") say(peer.get(), held.ids);
        if (request != "end") continue;
        ::unlink(socket.c_str());
        ::unlink(pid_file.c_str());
        held.disks.clear();
        say(peer.get(), "ended\n");
        return;
    }
}

void detach_from_starter() {
    ::setsid();
    if (::chdir("/") != 0)
        return;  // cannot happen for root; staying elsewhere only pins a directory
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return;
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::close(null);
}

}  // namespace

int run_guard(const fs::path& directory, const std::string& name,
              const std::vector<std::string>& disks, int ready_fd) {
    std::signal(SIGHUP, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGINT, SIG_IGN);
    auto held = hold_all(disks);
    if (!held) {
        say(ready_fd, held.error().detail() + "\n");
        return 1;
    }
    const fs::path socket = directory / (name + ".sock");
    auto listener = listen_local_socket(socket);
    if (!listener) {
        say(ready_fd, listener.error().detail() + "\n");
        return 1;
    }
    const pid_t child = ::fork();
    if (child < 0) say(ready_fd, "fork failed: " + std::generic_category().message(errno) + "\n");
    if (child != 0) return child < 0 ? 1 : 0;
    const fs::path pid_file = directory / (name + ".pid");
    const Fd ready(::fcntl(ready_fd, F_DUPFD_CLOEXEC, 10));
    detach_from_starter();
    auto noted = write_file_durably(pid_file, as_bytes(std::to_string(::getpid()) + "\n"));
    say(ready.get(), noted ? "held\n" : noted.error().detail() + "\n");
    if (!noted) return 1;
    serve(listener->get(), *held, socket, pid_file);
    return 0;
}

}  // namespace drover::agent
