/// The Asio driver of the agent: one connection to the orchestrator, dialled again for ever, and
/// the local control socket. Everything that decides is in SessionSteps and Executor; this
/// moves their inputs and outputs.
///
///   orchestrator ◄─ TLS ─► SessionSteps ─ effects ─► Executor
///                              ▲───── reports, posted to this thread ──┘
#pragma once

#include "agent/executor.h"
#include "agent/state_store.h"
#include "base/clock.h"
#include "base/random.h"

#include <memory>
#include <string>

namespace drover::agent {

struct SessionOptions {
    Hello hello;
    wire::TlsIdentity tls;
    std::string server_host;
    std::uint16_t server_port = 0;
    StatePaths paths;
    std::string recovery_public_pem;
};

class SessionDriver final : public ExecutorOutput {
  public:
    /// `pending`: reports not yet acknowledged, from the journal.
    SessionDriver(SessionOptions options, std::vector<Report> pending, Clock& clock,
                  Random& random);
    ~SessionDriver() override;

    /// Until SIGTERM or SIGINT (success), or a failure after which the process must begin again.
    [[nodiscard]] Result<> run(Executor& executor);

    void taken(const EffectId& effect) override;
    void report(const Report& report) override;
    void progress(const Progress& progress) override;
    void failed(const Error& error) override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace drover::agent
