/// A host with an agent whose process can die and begin again, and the words to talk to it:
///
///   World w; w.boot(); w.want(w.fence(50)); w.settle(); w.last<FenceDone>();
#pragma once

#include "agent/executor.h"
#include "schemas/codec.h"
#include "tests/agent/fake_host.h"
#include "tests/agent/fake_replicas.h"
#include "wire/pki.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::agent::testing {

class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

/// The process died at this step.
struct Crash {
    std::string step;
};

class Output final : public ExecutorOutput {
  public:
    std::vector<EffectId> taken_ids;
    std::vector<Report> reports;
    std::vector<Progress> progresses;
    std::vector<Error> failures;

    void taken(const EffectId& effect) override { taken_ids.push_back(effect); }

    void report(const Report& report) override { reports.push_back(report); }

    void progress(const Progress& progress) override { progresses.push_back(progress); }

    void failed(const Error& error) override { failures.push_back(error); }
};

/// One authority for all tests of a program.
struct Pki {
    wire::KeyAndCertificate authority;
    [[nodiscard]] AgentIdentity agent(const std::string& name) const;
    static const Pki& shared();
};

class World {
  public:
    World();

    // The world, which outlives processes.
    TempDir dir;
    StatePaths paths;
    Config config;
    AgentIdentity identity;
    FakeHost host;
    ReplicaWorld replica_world;
    ManualClock clock;
    SeededRandom random{1};
    std::string crash_at;  ///< the step after which the process dies, once

    struct Process {
        std::unique_ptr<Journal> journal;
        std::unique_ptr<FenceStore> fences;
        std::unique_ptr<ExposureStore> exposures;
        std::unique_ptr<FakeReplicas> replicas;
        FakePeers peers;
        InlineWorkers workers;
        Output output;
        std::unique_ptr<Executor> executor;
    };

    std::unique_ptr<Process> process;

    /// A new process on the same world, which has begun nothing yet.
    void launch();

    /// launch() and settle().
    void boot();

    [[nodiscard]] AgentParts parts();

    /// Ends the process without a word.
    void die() { process.reset(); }

    /// Hands an effect over as the orchestrator would.
    void want(const Effect& effect);

    void settle() { process->workers.run_all(); }

    /// want() and settle(), expecting the process to die at `step`.
    void want_and_die_at(const Effect& effect, const std::string& step);

    JobId job;
    FenceToken token;

    [[nodiscard]] Effect effect(std::uint64_t seq, EffectKind kind, Side side,
                                EffectWork work) const;
    [[nodiscard]] Effect replicate(std::uint64_t seq, Side side,
                                   ReplicateMode mode = ReplicateMode::transfer) const;
    [[nodiscard]] Effect fence(std::uint64_t seq) const;
    [[nodiscard]] Effect release(std::uint64_t seq) const;
    [[nodiscard]] Effect drain(std::uint64_t seq) const;
    [[nodiscard]] Effect activate(std::uint64_t seq) const;
    [[nodiscard]] Effect deactivate(std::uint64_t seq) const;
    [[nodiscard]] FenceProof proof(const AgentIdentity& signer) const;
    void expose(const std::string& path);
    /// A new agent, whose target disk is copied to and then in the hands of its users.
    void serve_from_target();

    [[nodiscard]] bool is_fenced() const;
    [[nodiscard]] bool in_service() const;

    /// The newest report; it must be a Body.
    template <class Body>
    [[nodiscard]] Body last() const {
        const Report& report = process->output.reports.back();
        if (const auto* failed = std::get_if<StepFailed>(&report.body);
            failed != nullptr && !std::is_same_v<Body, StepFailed>)
            throw std::runtime_error("step failed: " + failed->error.text());
        return std::get<Body>(report.body);
    }

    [[nodiscard]] std::string last_error() const { return last<StepFailed>().error.id(); }

    [[nodiscard]] std::size_t report_count() const { return process->output.reports.size(); }
};

}  // namespace drover::agent::testing
