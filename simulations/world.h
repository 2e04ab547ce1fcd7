/// A whole installation in one process: an orchestrator, two machines per job, the network between
/// them, the operator, and everything that goes wrong. Runs from a seed to a verdict.
#pragma once

#include "simulations/agent_process.h"
#include "simulations/coverage.h"
#include "simulations/faults.h"
#include "simulations/options.h"
#include "simulations/orchestrator_process.h"
#include "simulations/source_history.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace drover::sim {

struct Violation {
    std::string rule;  ///< the invariant, in words
    std::string detail;
    std::uint64_t step = 0;
    Micros at = 0;
};

struct TraceLine {
    Micros at = 0;
    std::uint64_t step = 0;
    std::string who;
    std::string what;
};

struct Outcome {
    std::optional<Violation> violation;
    Hash trace_hash;  ///< of every durable fact, delivery and fault, in order
    std::uint64_t steps = 0;
    std::uint64_t facts = 0;
    std::uint64_t jobs_committed = 0;
    std::uint64_t jobs_cancelled = 0;
    Micros simulated = 0;
    Coverage coverage;
    std::vector<TraceLine> trace;  ///< filled if it was asked for
    std::set<std::uint32_t> faults_done;
};

/// What the operator means to do with a job.
struct Script {
    Micros plan_at = 0;
    Micros cutover_at = 0;
    Micros decide_after = 0;  ///< of holding
    bool arms = false;        ///< by a timer
    bool pauses = false;      ///< before Activate
    std::uint32_t rollbacks = 0;
    bool cancels = false;   ///< at its end, instead of committing
    bool mistypes = false;  ///< the name in the first commit
    // Where targets keep journals:
    std::uint32_t tests = 0;  ///< before the cutover, or between two
    Micros test_at = 0;
    Micros test_lasts = 0;
    bool test_cancels = false;  ///< the job, with its test standing
    // Where sources take back what was written on targets:
    bool takes_back = false;  ///< root gave the source's disks for it
    bool keeps = false;       ///< rolls back so, where it can
    bool abandons = false;    ///< the way back, once it has begun
    Micros abandon_after = 0;
};

struct SimulatedJob {
    std::uint32_t index = 0;
    std::string name;
    std::unique_ptr<Machine> source_machine;
    std::unique_ptr<Machine> target_machine;
    std::unique_ptr<AgentHost> source;
    std::unique_ptr<AgentHost> target;
    JobSpec spec;
    Script script;
    std::optional<JobId> id;

    // The operator's side.
    bool look_pending = false;
    bool request_pending = false;
    std::uint32_t retries = 0;
    std::uint32_t rollbacks_done = 0;
    Micros phase_since = 0;
    bool done = false;

    // What the world knows, for the invariants.
    statemachine::Phase phase = statemachine::Phase::planned;
    bool target_lost = false;       ///< its machine will never come back
    bool contents_damaged = false;  ///< bits rotted or writes tore, so a comparison may differ
    bool write_flipped = false;     ///< a write went wrong: reading back has to find it
    bool cloned = false;            ///< a copy of the source's machine has called in
    bool disk_vanished = false;     ///< so that nobody can tell who wrote to it meanwhile
    bool fence_disturbed = false;   ///< somebody with root wrote to a fenced disk
    Micros damaged_at = 0;          ///< for the last time
    Micros disturbed_at = 0;        ///< likewise
    Micros fenced_at = 0;           ///< of the present run
    Micros verified_from = 0;       ///< when the verification began that let the target go
    SourceHistory source_history;   ///< where targets keep journals
    Uuid journal;                   ///< of the target, when it acknowledged for the last time
    std::uint64_t acknowledged = 0;
    bool verified_by_induction = false;              ///< that verification compared nothing
    std::vector<std::vector<Version>> fenced_image;  ///< of the source; empty: no fence stands
    std::vector<std::vector<Version>> down_image;    ///< of the target, when it was down
    std::uint64_t taken_back = 0;  ///< batch that the source acknowledged for the last time
};

/// How a search over small worlds reaches into a run. Each may be empty.
struct Hooks {
    /// Called in order for every durable fact, before its effects leave; `count` of all facts.
    std::function<void(std::uint64_t count, const orchestrator::Fact& fact)> on_fact;
    /// Called for every step of a process, which it may end there.
    std::function<void(std::string_view name)> on_step;
    /// What the operator does now, before anything that the script says.
    std::function<std::optional<statemachine::Wish>(const statemachine::Job& state)> choose;
    /// The answer to an operator's wish.
    std::function<void(const Result<orchestrator::Answer>& answer)> answered;
};

class World {
  public:
    World(const Options& options, bool tracing);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    /// Until every job is over and every fault has passed, or a rule is broken.
    [[nodiscard]] Outcome run();

    // ---- for the operator, the faults and the invariants ----

    void note(const std::string& who, const std::string& what);
    void violate(const std::string& rule, const std::string& detail);
    /// Jobs by the machine that a running process is on; nullptr for the orchestrator's.
    [[nodiscard]] SimulatedJob* job_of(const std::string& machine);
    [[nodiscard]] const statemachine::Job* state_of(const SimulatedJob& job) const;
    /// Kills that process at its n-th step from now on, of those whose names begin with `prefix`.
    void kill_at_step(ProcessId process, std::uint64_t steps, std::function<void()> kill,
                      std::string prefix = {});

    /// An operation fails while this is in force.
    struct Trouble {
        std::string operation;  ///< a prefix
        std::string path;       ///< a prefix
        Error error;
        bool once = false;
    };

    /// The invariants listen to it as well.
    void adopt_server(OrchestratorHost& other);
    std::uint64_t add_trouble(Trouble trouble);
    void end_trouble(std::uint64_t id);
    /// A machine has just lost its power.
    void power_lost(const AgentHost& host);

    Options options;
    Scheduler scheduler;
    Environment environment;
    Dice dice;
    Dice journal_dice{options.seed ^ 0x10f7ULL};
    Network network;
    std::shared_ptr<eventlog::MemoryLog> volume;
    std::unique_ptr<OrchestratorHost> server;
    /// Further orchestrators and machines that faults bring in; they stay until the end.
    std::vector<std::unique_ptr<OrchestratorHost>> other_servers;
    std::vector<std::unique_ptr<Machine>> other_machines;
    std::vector<std::unique_ptr<AgentHost>> other_agents;
    std::vector<SimulatedJob> jobs;
    Coverage coverage;
    Micros calm_at = 0;  ///< no fault and no mischief after it
    Hooks hooks;

  private:
    friend class Operator;
    friend class Invariants;

    struct StepKill {
        std::uint64_t left = 0;
        std::function<void()> kill;
        std::string prefix;
    };

    void strike(const Fault& fault);
    void strike_on_phase(const SimulatedJob& job);
    void expose_disks(const SimulatedJob& job);
    void build_job(std::uint32_t index);
    void enrol_all();
    void enrol(const AgentHost& host, const Hash& token, orchestrator::RegistryWish wish,
               const Hash& id);
    [[nodiscard]] SimulatedJob* job_of_process(ProcessId process);
    void on_step(std::string_view name);
    [[nodiscard]] Result<> on_attempt(std::string_view operation, std::string_view path);
    void on_started(const OrchestratorHost& orchestrator);
    void on_fact(const eventlog::Record& record, const orchestrator::Fact& fact);
    void take_in(const eventlog::Record& record, const orchestrator::Fact& fact);
    void churn(SimulatedJob& job);
    void race(ProcessId process);
    [[nodiscard]] bool all_over() const;
    void mix(std::uint64_t value);

    bool tracing_;
    Dice race_dice_{options.seed ^ 0x2aceULL};
    std::vector<TraceLine> trace_;
    std::optional<Violation> violation_;
    std::uint64_t trace_state_[2] = {0x9ae16a3b2f90404fULL, 0xc949d7c7509e6557ULL};
    std::uint64_t facts_ = 0;
    std::map<ProcessId, StepKill> step_kills_;
    std::map<std::uint64_t, Trouble> troubles_;
    std::uint64_t next_trouble_ = 1;
    std::map<std::string, std::uint32_t> job_of_machine_;
    std::map<JobId, std::uint32_t> job_of_id_;
    std::map<std::string, std::uint32_t> job_of_name_;
    std::unordered_map<ProcessId, SimulatedJob*> job_of_process_;  ///< nullptr: of no job
    std::set<std::uint32_t> faults_done_;
    std::vector<Fault> faults_on_phase_;  ///< those that still wait
    std::unique_ptr<class Operator> operator_;
    std::unique_ptr<class Invariants> invariants_;
};

/// What its operator means to do with the job, and what the plan asks for. `own`: the job's.
void draw_script(const Options& options, Dice& own, SimulatedJob& job);

/// Lets a fault happen, and end.
void inject(World& world, const Fault& fault);

}  // namespace drover::sim
