#include "simulations/processes.h"

#include "base/assert.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace drover::sim {
namespace {

struct Child {
    pid_t pid = -1;
    int tally = -1;  ///< read end of the pipe
};

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        DROVER_ASSERT(n > 0);
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

std::string read_all(int fd) {
    std::string out;
    std::array<char, 4096> part;
    for (;;) {
        const ssize_t n = ::read(fd, part.data(), part.size());
        DROVER_ASSERT(n >= 0);
        if (n == 0) return out;
        out.append(part.data(), static_cast<std::size_t>(n));
    }
}

Child start(std::uint32_t share, const Share& run) {
    std::array<int, 2> ends;
    DROVER_ASSERT(::pipe(ends.data()) == 0);
    std::cout.flush();
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    DROVER_ASSERT(pid >= 0);
    if (pid != 0) {
        ::close(ends[1]);
        return {pid, ends[0]};
    }
    ::close(ends[0]);
    std::ostringstream tally;
    const bool holds = run(share, tally);
    write_all(ends[1], tally.str());
    std::cout.flush();
    std::fflush(nullptr);
    ::_exit(holds ? 0 : 1);
}

bool ended_well(const Child& child) {
    int status = 0;
    DROVER_ASSERT(::waitpid(child.pid, &status, 0) == child.pid);
    if (WIFSIGNALED(status))
        std::cout << "a simulation was ended by signal " << WTERMSIG(status) << "\n";
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::uint32_t processes_default() {
    return std::clamp(std::thread::hardware_concurrency(), 1U, processes_max);
}

bool run_shares(std::uint32_t count, const Share& run,
                const std::function<void(std::istream&)>& add) {
    std::stringstream own;
    if (count == 1) {
        const bool holds = run(0, own);
        add(own);
        return holds;
    }
    std::vector<Child> children;
    for (std::uint32_t share = 0; share < count; ++share) children.push_back(start(share, run));
    bool all = true;
    for (const Child& child : children) {
        std::istringstream tally(read_all(child.tally));
        ::close(child.tally);
        all = ended_well(child) && all;
        add(tally);
    }
    return all;
}

}  // namespace drover::sim
