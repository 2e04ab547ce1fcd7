/// A server that the benchmark starts for itself and stops by its process id.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace drover::bench {

/// Ends with the object, and with this process if that dies first.
class Child {
  public:
    /// Runs `command` with its output appended to `output`. As root, `user` is the account it runs
    /// under, if it is not empty.
    Child(const std::vector<std::string>& command, const std::string& output,
          const std::string& user, int stop_signal);
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// Waits for its end; its exit code, or 128 + signal.
    int wait();

    [[nodiscard]] bool has_ended();

  private:
    pid_t pid_;
    int stop_signal_;
};

/// Makes `path` a directory that `user` owns if this process is root; else its own.
void make_directory_for(const std::string& path, const std::string& user);

}  // namespace drover::bench
