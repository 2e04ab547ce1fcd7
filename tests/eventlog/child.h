/// A round in a process of its own: it may lose power, be killed or abort, and the test goes on.
#pragma once

#include <filesystem>
#include <new>
#include <type_traits>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::eventlog::testing {

/// A value that outlives the child that writes it.
template <class T>
class Shared {
  public:
    static_assert(std::is_trivially_copyable_v<T>);

    Shared() {
        void* const memory =
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory != MAP_FAILED);
        value_ = new (memory) T{};
    }

    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

    ~Shared() { ::munmap(value_, sizeof(T)); }

    T& operator*() const { return *value_; }

    T* operator->() const { return value_; }

  private:
    T* value_;
};

struct Ended {
    int status = -1;  ///< exit status, -1 when a signal ended it
    int signal = 0;
};

constexpr unsigned child_seconds_max = 60;

/// Starts `body`, whose return value is the exit status, in a child; its standard error goes to
/// `messages`. The caller must have no threads.
template <class Body>
pid_t start_child(const std::filesystem::path& messages, const Body& body) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid != 0) return pid;
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM})
        ::signal(number, SIG_DFL);  // Catch's handlers would report the test as failed here
    ::alarm(child_seconds_max);     // a child that hangs ends with SIGALRM
    const int fd = ::open(messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) ::dup2(fd, STDERR_FILENO);
    ::_exit(body());
}

inline Ended wait_for(pid_t pid) {
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status)) return {-1, WTERMSIG(status)};
    return {WEXITSTATUS(status), 0};
}

template <class Body>
Ended in_child(const std::filesystem::path& messages, const Body& body) {
    return wait_for(start_child(messages, body));
}

}  // namespace drover::eventlog::testing
