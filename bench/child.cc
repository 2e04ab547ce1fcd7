#include "bench/child.h"

#include "bench/measure.h"

#include <csignal>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr int cannot_start = 127;

const passwd* account(const std::string& user) {
    if (user.empty() || ::geteuid() != 0) return nullptr;
    const passwd* found = ::getpwnam(user.c_str());
    if (!found) fail("there is no user " + user);
    return found;
}

[[noreturn]] void become(std::vector<char*> arguments, const std::string& output,
                         const passwd* owner) {
    const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || ::dup2(file, STDOUT_FILENO) < 0 || ::dup2(file, STDERR_FILENO) < 0)
        ::_exit(cannot_start);
    if (owner && (::setgroups(0, nullptr) != 0 || ::setgid(owner->pw_gid) != 0 ||
                  ::setuid(owner->pw_uid) != 0))
        ::_exit(cannot_start);
    // After the change of user, which clears it.
    ::prctl(PR_SET_PDEATHSIG, SIGINT);
    ::execv(arguments.front(), arguments.data());
    ::_exit(cannot_start);
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const std::string& output,
             const std::string& user, int stop_signal)
    : pid_(-1),
      stop_signal_(stop_signal) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const passwd* owner = account(user);
    pid_ = ::fork();
    if (pid_ < 0) fail("cannot fork");
    if (pid_ == 0) become(arguments, output, owner);
}

Child::~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, stop_signal_);
    wait();
}

int Child::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Child::has_ended() {
    if (pid_ < 0) return true;
    if (::waitpid(pid_, nullptr, WNOHANG) == 0) return false;
    pid_ = -1;
    return true;
}

void make_directory_for(const std::string& path, const std::string& user) {
    if (::mkdir(path.c_str(), 0700) != 0) fail("cannot create " + path);
    const passwd* owner = account(user);
    if (owner && ::chown(path.c_str(), owner->pw_uid, owner->pw_gid) != 0)
        fail("cannot give " + path + " to " + user);
}

}  // namespace drover::bench
