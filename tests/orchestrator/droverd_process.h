/// A real droverd as a child process: made, started, killed, asked over HTTPS.
#pragma once

#include "base/result.h"
#include "wire/https.h"

#include <filesystem>
#include <string>
#include <utility>

#include <sys/types.h>

namespace drover::orchestrator::testing {

struct Exit {
    int code = -1;       ///< -1 if a signal ended it
    std::string output;  ///< stdout and stderr
};

class DroverdProcess {
  public:
    /// An empty directory for state, configuration and output; removed at the end.
    DroverdProcess();
    ~DroverdProcess();
    DroverdProcess(const DroverdProcess&) = delete;
    DroverdProcess& operator=(const DroverdProcess&) = delete;

    [[nodiscard]] Exit init();
    /// Runs a second process on the same directory until it ends.
    [[nodiscard]] Exit run_another();

    /// Starts it on free ports and waits until it is ready. False if it ended instead.
    [[nodiscard]] bool start();
    /// Sends the signal and waits for the end.
    Exit stop(int signal);

    /// With the right token, unless other headers are given.
    [[nodiscard]] Result<wire::HttpResponse> request(const std::string& method,
                                                     const std::string& target,
                                                     const std::string& body = {},
                                                     wire::HttpHeaders headers = {}) const;

    /// The stream of events at `target`, until `on_chunk` returns false.
    [[nodiscard]] Result<wire::HttpResponse> stream(const std::string& target,
                                                    const wire::OnChunk& on_chunk) const;

    [[nodiscard]] std::uint16_t http_port() const { return http_port_; }

    [[nodiscard]] std::uint16_t agents_port() const { return agents_port_; }

    [[nodiscard]] pid_t pid() const { return pid_; }

    [[nodiscard]] std::filesystem::path state() const { return directory_ / "state"; }

    [[nodiscard]] std::string output() const;

  private:
    [[nodiscard]] wire::HttpsOptions options() const;
    [[nodiscard]] pid_t spawn(const std::string& action, const std::filesystem::path& output) const;
    /// From the line "droverd ready: https 40001, agents 40002, epoch 3".
    [[nodiscard]] bool read_ports();

    std::filesystem::path directory_;
    std::string token_;
    std::string authority_;
    pid_t pid_ = -1;
    std::uint16_t http_port_ = 0;
    std::uint16_t agents_port_ = 0;
};

}  // namespace drover::orchestrator::testing
