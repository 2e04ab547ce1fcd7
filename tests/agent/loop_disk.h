/// A block device of our own for one test: a loop device over a sparse file, taken away again
/// whatever happens, with everything mounted from it.
#pragma once

#include "tests/agent/world.h"

#include <string>

namespace drover::agent::testing {

/// Runs a shell command; its exit status.
int shell(const std::string& command);
/// Its standard output, trimmed.
std::string shell_output(const std::string& command);

/// Empty if loop devices can be made here, otherwise why not.
std::string why_no_loop_devices();

class LoopDisk {
  public:
    explicit LoopDisk(std::uint64_t size_bytes);
    ~LoopDisk();
    LoopDisk(const LoopDisk&) = delete;
    LoopDisk& operator=(const LoopDisk&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }

    [[nodiscard]] std::string mount_point() const { return (dir_.path() / "mnt").native(); }

    void make_ext4() const;
    void mount() const;
    /// As if the cable was pulled.
    void detach();

  private:
    TempDir dir_;
    std::string path_;
};

/// A child process of the test, killed and reaped at the end.
class Child {
  public:
    explicit Child(const std::string& command);
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    [[nodiscard]] int pid() const { return pid_; }

    /// SIGKILL, and wait until it is gone.
    void kill_hard();

  private:
    int pid_ = -1;
};

/// Polls until `condition` or the deadline; what the condition said last.
bool eventually(const std::function<bool()>& condition, int seconds = 10);

}  // namespace drover::agent::testing
