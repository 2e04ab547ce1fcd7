#include "agent/hooks.h"

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

using Deadline = std::chrono::steady_clock::time_point;
constexpr auto poll_interval = std::chrono::milliseconds(10);
constexpr auto kill_grace = std::chrono::seconds(2);
constexpr int status_unknown = 255 << 8;  // as if it had exited with 255: never a success

/// True if nobody but root and the agent's own user can change what lies at `path`.
bool only_ours(const struct stat& about) {
    const bool owned = about.st_uid == 0 || about.st_uid == ::geteuid();
    return owned && (about.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

Error unsafe(const std::string& name, const std::string& why) {
    return Error(Errc::denied, "hook_unsafe", "hook " + name + ": " + why, "nothing was run",
                 "make the file a regular executable owned by root and writable only by it");
}

/// Waits for the child until `until`; its wait status, or nullopt while it still runs.
std::optional<int> wait_until(pid_t pid, Deadline until) {
    for (;;) {
        int status = 0;
        const pid_t done = ::waitpid(pid, &status, WNOHANG);
        if (done == pid) return status;
        if (done < 0 && errno != EINTR) return status_unknown;
        if (std::chrono::steady_clock::now() >= until) return std::nullopt;
        std::this_thread::sleep_for(poll_interval);
    }
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.data()));
    out.push_back(nullptr);
    return out;
}

/// Starts the hook in a process group of its own. `words`: its path and its arguments.
Result<pid_t> spawn(const std::vector<std::string>& words,
                    const std::vector<std::string>& environment) {
    const std::string& path = words.front();
    const std::vector<char*> variables = pointers(environment);
    const std::vector<char*> arguments = pointers(words);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 2, 1);
    // Asio opens sockets that are inherited. In a workload that outlives the agent they would keep
    // its connections, and the other end would not see that it is gone.
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    sigset_t none;
    sigemptyset(&none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, path.c_str(), &files, &attributes, arguments.data(), variables.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0) return errno_error(failed, "start", path);
    return pid;
}

/// `what`: "NAME (STEP)", for people. Errors: io "hook_failed", timed_out "hook_timed_out".
Result<> run_limited(const std::string& what, const std::vector<std::string>& words,
                     const std::vector<std::string>& environment, std::chrono::milliseconds limit) {
    TRY(const pid_t pid, spawn(words, environment));
    const auto status = wait_until(pid, std::chrono::steady_clock::now() + limit);
    if (status && *status == 0) return {};
    if (status) {
        const std::string how = WIFSIGNALED(*status)
                                    ? "was killed by signal " + std::to_string(WTERMSIG(*status))
                                    : "exited with " + std::to_string(WEXITSTATUS(*status));
        return Error(Errc::io, "hook_failed", "hook " + what + " " + how,
                     "the step was not completed",
                     "read the hook's output in the agent's log, correct the cause, then retry");
    }
    ::kill(-pid, SIGTERM);
    if (!wait_until(pid, std::chrono::steady_clock::now() + kill_grace)) {
        ::kill(-pid, SIGKILL);
        // SIGKILL cannot be refused; a child stuck in the kernel is left to init.
        (void)wait_until(pid, std::chrono::steady_clock::now() + kill_grace);
    }
    return Error(Errc::timed_out, "hook_timed_out",
                 "hook " + what + " did not end within " +
                     std::to_string((limit.count() + 999) / 1000) + " s",
                 "the step was not completed; the hook was killed",
                 "make the hook quicker or raise hook_limits.timeout_s, then retry");
}

std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
    return out;
}

Error changed(const HookRun& run, const Hash& found) {
    return Error(Errc::conflict, "hook_changed",
                 "hook " + run.hook.name + " (" + hook_step_text(run.step) +
                     ") is not the file that the plan was approved with: SHA-256 " +
                     run.hook.sha256.hex() + " then, " + found.hex() + " now",
                 "nothing was run, the step was not completed",
                 "put the approved file back and retry, or cancel and plan the job again");
}

}  // namespace

std::string hook_step_text(HookStep step) {
    std::string text(name_of(step));
    std::replace(text.begin(), text.end(), '_', '-');
    return text;
}

Result<Hash> Hooks::check(const std::string& name) const {
    const auto known = paths_.find(name);
    if (known == paths_.end())
        return Error(Errc::not_found, "hook_unknown",
                     "no hook named " + name + " in this agent's configuration", "nothing was run",
                     "add it to [hooks] in agent.toml and restart the agent");
    const std::string& path = known->second;

    struct stat about {};

    if (::lstat(path.c_str(), &about) != 0)
        return Error(Errc::not_found, "hook_missing", path + " does not exist", "nothing was run",
                     "install the hook, or correct its path in agent.toml");
    if (!S_ISREG(about.st_mode)) return unsafe(name, path + " is not a regular file");
    if (!only_ours(about)) return unsafe(name, path + " can be changed by other users");
    if ((about.st_mode & S_IXUSR) == 0) return unsafe(name, path + " is not executable");
    const std::string parent = std::filesystem::path(path).parent_path().native();

    struct stat directory {};

    if (::stat(parent.c_str(), &directory) != 0 || !only_ours(directory))
        return unsafe(name, parent + " can be changed by other users");
    TRY(const Bytes contents, read_file(path));
    return sha256(contents);
}

Result<> Hooks::run(const HookRun& run) const {
    TRY(const Hash found, check(run.hook.name));
    if (found != run.hook.sha256) return changed(run, found);
    const std::string& path = paths_.at(run.hook.name);
    const std::string context =
        "job=" + run.job_name + " hook=" + run.hook.name + " step=" + hook_step_text(run.step);
    log::info("hook", "start", context);
    const std::string step = hook_step_text(run.step);
    std::vector<std::string> environment = {"DROVER_JOB=" + run.job_name, "DROVER_STEP=" + step,
                                            "DROVER_DISKS=" + joined(run.disks),
                                            "DROVER_TOKEN=" + run.token.hex(), hook_search_path};
    if (!run.test_disks.empty())
        environment.push_back("DROVER_TEST_DISKS=" + joined(run.test_disks));
    TRY_VOID(run_limited(run.hook.name + " (" + step + ")", {path}, environment,
                         std::chrono::seconds(timeout_s_)));
    log::info("hook", "done", context);
    return {};
}

// ---- hooks around a freeze ----

Result<std::vector<std::string>> freeze_hooks(const std::string& directory) {
    std::error_code failed;
    std::map<std::string, std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
        const bool runs = entry.is_regular_file() && ::access(entry.path().c_str(), X_OK) == 0;
        if (runs) paths.emplace(entry.path().filename().native(), entry.path().native());
    }
    if (failed)
        return Error(Errc::not_found, "hook_missing",
                     directory + " cannot be read: " + failed.message(), "nothing was run",
                     "make the directory, or correct freeze.hooks in agent.toml");
    const Hooks hooks(paths, 0);
    std::vector<std::string> out;
    for (const auto& [name, path] : paths) {
        TRY_VOID(hooks.check(name));
        out.push_back(path);
    }
    return out;
}

Result<> run_freeze_hook(const std::string& path, const std::string& argument,
                         std::int64_t limit_ms) {
    return run_limited(path + " (" + argument + ")", {path, argument}, {hook_search_path},
                       std::chrono::milliseconds(limit_ms));
}

Result<> run_program(const std::vector<std::string>& words, std::int64_t limit_ms) {
    return run_limited(words.front(), words, {hook_search_path},
                       std::chrono::milliseconds(limit_ms));
}

}  // namespace drover::agent
