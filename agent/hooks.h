/// Local hooks: root-owned executables that the agent's own configuration names. A plan carries
/// only their names, never a command line.
#pragma once

#include "agent/host_ops.h"
#include "base/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace drover::agent {

class Hooks {
  public:
    Hooks(std::map<std::string, std::string> paths, std::uint32_t timeout_s)
        : paths_(std::move(paths)),
          timeout_s_(timeout_s) {}

    /// SHA-256 of the hook's file, after checking that only root (or the agent's own user) could
    /// have written it. Errors: not_found ("hook_unknown", "hook_missing"), denied ("hook_unsafe").
    [[nodiscard]] Result<Hash> check(const std::string& name) const;

    /// Environment: DROVER_JOB, DROVER_STEP, DROVER_DISKS, DROVER_TOKEN, in a test
    /// DROVER_TEST_DISKS, and PATH; stdin is /dev/null; its output goes to the agent's standard
    /// error. Past the limit its process group gets SIGTERM, 2 s later SIGKILL. Errors: as check();
    /// conflict
    /// ("hook_changed": its file is not the one that the plan was approved with), io
    /// ("hook_failed"), timed_out ("hook_timed_out").
    [[nodiscard]] Result<> run(const HookRun& run) const;

  private:
    std::map<std::string, std::string> paths_;
    std::uint32_t timeout_s_;
};

/// "pre-fence": the form in DROVER_STEP.
[[nodiscard]] std::string hook_step_text(HookStep step);

/// The PATH of every hook, as an environment's entry.
constexpr const char* hook_search_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// ---- hooks around a freeze, as of QEMU's guest agent (fsfreeze-hook.d) ----

/// The executable files of the directory, by name, after the checks of Hooks::check(). Errors:
/// not_found ("hook_missing"), denied ("hook_unsafe").
[[nodiscard]] Result<std::vector<std::string>> freeze_hooks(const std::string& directory);

/// `argument`: "freeze" or "thaw". Past the limit it is killed. Errors: io ("hook_failed"),
/// timed_out ("hook_timed_out").
[[nodiscard]] Result<> run_freeze_hook(const std::string& path, const std::string& argument,
                                       std::int64_t limit_ms);

/// Another program that the agent needs, `words`: its absolute path and arguments. As above.
[[nodiscard]] Result<> run_program(const std::vector<std::string>& words, std::int64_t limit_ms);

}  // namespace drover::agent
