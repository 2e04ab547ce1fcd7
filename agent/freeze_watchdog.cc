#include "agent/freeze_watchdog.h"

#include "agent/hooks.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr std::int64_t nap_ms = 10;
constexpr std::int64_t disarmed = 0;
constexpr int look_again_ms = 100;

void nap() {
    const timespec time{0, nap_ms * 1'000'000};
    ::nanosleep(&time, nullptr);
}

/// The process beside the agent. It was forked from one with threads, so nothing is allocated and
/// nothing locked here: everything was made before.
class Watchdog {
  public:
    Watchdog(std::vector<int> mounts, const std::vector<std::string>& hooks,
             std::int64_t hook_limit_ms)
        : mounts_(std::move(mounts)),
          hooks_(hooks),
          hook_limit_ms_(hook_limit_ms) {}

    [[noreturn]] void run(int starter) {
        keep_only(starter);
        ::setsid();
        for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
        survive_shortage();
        ::mlockall(MCL_CURRENT);
        std::int64_t limit_ms = -1;  // of poll(): for ever
        for (;;) {
            pollfd order{starter, POLLIN, 0};
            const int ready = ::poll(&order, 1, static_cast<int>(limit_ms));
            if (ready < 0 && errno == EINTR) continue;
            std::int64_t ms = 0;
            const bool told = ready > 0 && ::recv(starter, &ms, sizeof(ms), 0) == sizeof(ms);
            if (!told) break;
            limit_ms = ms == disarmed ? -1 : ms;
            const char taken = 1;
            if (::send(starter, &taken, 1, MSG_NOSIGNAL) != 1) break;
        }
        if (limit_ms >= 0) {
            thaw();
            for (const std::string& hook : hooks_) call(hook);
            keep_thawed(starter);
        }
        ::_exit(0);
    }

  private:
    /// What the agent has open must not stay open in its name: locks, ports.
    void keep_only(int starter) {
        kept_ = {starter, STDERR_FILENO};
        std::size_t count = 2;
        for (const int mount : mounts_)
            if (count < kept_.size()) kept_[count++] = mount;
        std::sort(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(count));
        unsigned next = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto fd = static_cast<unsigned>(kept_[i]);
            if (fd > next) ::close_range(next, fd - 1, 0);
            next = fd + 1;
        }
        ::close_range(next, ~0U, 0);
    }

    /// Killed for want of memory last of all.
    static void survive_shortage() {
        const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0) return;
        constexpr char least[] = "-1000";
        [[maybe_unused]] const auto written = ::write(fd, least, sizeof(least) - 1);
        ::close(fd);
    }

    void thaw() const {
        for (const int mount : mounts_) ::ioctl(mount, FITHAW, 0);
    }

    /// A freeze that was under way when the time was over is only complete later: until the starter
    /// asks, or is gone, and with it whatever it was doing.
    void keep_thawed(int starter) const {
        pollfd end{starter, POLLIN, 0};
        while (::poll(&end, 1, look_again_ms) <= 0) thaw();
        thaw();
    }

    void call(const std::string& hook) const {
        const pid_t child = ::fork();
        if (child == 0) {
            char* const words[] = {const_cast<char*>(hook.c_str()), const_cast<char*>("thaw"),
                                   nullptr};
            char* const variables[] = {const_cast<char*>(hook_search_path), nullptr};
            for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_DFL);
            ::execve(words[0], words, variables);
            ::_exit(127);
        }
        for (std::int64_t waited = 0; child > 0 && waited < hook_limit_ms_; waited += nap_ms) {
            if (::waitpid(child, nullptr, WNOHANG) != 0) return;
            nap();
        }
        if (child > 0) ::kill(child, SIGKILL);
    }

    std::vector<int> mounts_;
    const std::vector<std::string>& hooks_;
    std::int64_t hook_limit_ms_;
    std::array<int, freeze_mounts_max + 2> kept_{};
};

}  // namespace

FreezeWatchdog::~FreezeWatchdog() {
    starter_ = Fd();
    if (process_ > 0) ::waitpid(process_, nullptr, 0);
}

Result<> FreezeWatchdog::start(std::vector<int> mounts, const std::vector<std::string>& hooks,
                               std::int64_t hook_limit_ms) {
    if (mounts.size() > freeze_mounts_max)
        return Error(Errc::unsupported, "too_many_filesystems",
                     std::to_string(mounts.size()) + " filesystems lie on the job's disks; " +
                         std::to_string(freeze_mounts_max) + " can be frozen at once",
                     "everything that was copied; nothing was frozen",
                     "do without freezing: drover job points shows the points that are found");
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return errno_error(errno, "make", "a socket pair");
    starter_ = Fd(ends[0]);
    const Fd its_end(ends[1]);
    Watchdog watchdog(std::move(mounts), hooks, hook_limit_ms);
    const pid_t child = ::fork();
    if (child < 0) return errno_error(errno, "start", "the freeze watchdog");
    if (child == 0) watchdog.run(its_end.get());
    process_ = child;
    return {};
}

bool FreezeWatchdog::tell(std::int64_t limit_ms) {
    char taken = 0;
    return ::send(starter_.get(), &limit_ms, sizeof(limit_ms), MSG_NOSIGNAL) == sizeof(limit_ms) &&
           ::recv(starter_.get(), &taken, 1, 0) == 1;
}

Result<> FreezeWatchdog::arm(std::int64_t limit_ms) {
    if (tell(limit_ms)) return {};
    return Error(Errc::io, "freeze_failed", "the process that thaws in time is gone",
                 "everything; nothing is frozen", "try again");
}

bool FreezeWatchdog::disarm() {
    return tell(disarmed);
}

}  // namespace drover::agent
