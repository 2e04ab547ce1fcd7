/// A log's writer in a process of its own, to be killed or to meet a full disk.
#pragma once

#include "base/file.h"
#include "tests/eventlog/log_testing.h"

#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::eventlog::testing {

using SteadyClock = std::chrono::steady_clock;

/// log_appender as a child with its reports on a pipe.
class Writer {
  public:
    explicit Writer(const std::filesystem::path& directory) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        reports_ = Fd(ends[0]);
        const Fd write_end(ends[1]);
        posix_spawn_file_actions_t actions;
        REQUIRE(::posix_spawn_file_actions_init(&actions) == 0);
        REQUIRE(::posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO) == 0);
        std::string program = LOG_APPENDER;
        std::string argument = directory.native();
        char* const arguments[] = {program.data(), argument.data(), nullptr};
        const int spawned =
            ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
        ::posix_spawn_file_actions_destroy(&actions);
        REQUIRE(spawned == 0);
    }

    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    ~Writer() { kill(); }

    /// The next report; nullopt at the end, or when none came until `deadline`.
    std::optional<Seq> next(SteadyClock::time_point deadline) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
        pollfd waited{reports_.get(), POLLIN, 0};
        const int timeout = std::max(0, static_cast<int>(left.count()));
        if (::poll(&waited, 1, timeout) != 1) return std::nullopt;
        Bytes line(8);
        if (::read(reports_.get(), line.data(), line.size()) != 8) return std::nullopt;
        return get_u64(line, 0);
    }

    /// Waits until it ends by itself; returns its exit status, -1 when a signal ended it.
    int wait() {
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, 0) == pid_);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    /// Kills it; returns the last report that it still made, or `last`.
    Seq kill(Seq last = 0) {
        if (pid_ <= 0) return last;
        REQUIRE(::kill(pid_, SIGKILL) == 0);
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, 0) == pid_);
        pid_ = -1;
        CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        while (const auto seq = next(SteadyClock::now())) last = *seq;
        return last;
    }

    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
    Fd reports_;
};

}  // namespace drover::eventlog::testing
