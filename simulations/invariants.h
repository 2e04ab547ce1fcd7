/// The rules of which the simulation is a test: looked at whenever something happened that could
/// break one, for what it touched.
#pragma once

#include "simulations/world.h"

#include <map>
#include <set>
#include <span>
#include <string>
#include <unordered_set>

namespace drover::sim {

/// Ids are random: any of their bits will do.
struct UuidHash {
    std::size_t operator()(const Uuid& id) const { return get_u64(id.view(), 0); }
};

class Invariants {
  public:
    explicit Invariants(World& world)
        : world_(world) {}

    /// A fact became durable and is applied.
    void on_fact(const eventlog::Record& record, const orchestrator::Fact& fact);
    /// An orchestrator has replayed the log.
    void on_started(const OrchestratorHost& server);
    /// A message is about to leave an orchestrator.
    void on_send(const OrchestratorHost& from, const std::string& machine,
                 const OrchestratorMessage& message);
    /// A user's write completed on a machine of the job.
    void on_user_write(SimulatedJob& job, Side side, Disk& disk);
    /// The source's disks hold something else than before.
    void on_source_changed(SimulatedJob& job);
    /// A target is about to say that a batch is durable.
    void on_acknowledged(SimulatedJob& job, std::uint64_t batch);
    void on_power_lost(const AgentHost& host);
    /// A step of a target that keeps a journal, on its disks or on that.
    void on_target_step(SimulatedJob& job, std::string_view step);
    /// A step of a source that takes back what was written on its target, likewise.
    void on_source_step(SimulatedJob& job, std::string_view step);
    /// A source is about to say that a batch of what comes back is durable.
    void on_taken_back(SimulatedJob& job, std::uint64_t batch);
    /// A step of a process on a machine of the job.
    void on_step(SimulatedJob& job, std::string_view step);
    /// An agent says something.
    void on_report(const AgentHost& host, const Report& report);
    /// An orchestrator is about to die, or the end has come.
    void check_log(const OrchestratorHost& server, const std::string& when);
    /// Everything is over.
    void check_end();

  private:
    void check_writers(SimulatedJob& job, const std::string& when);
    void check_transition(SimulatedJob& job, const statemachine::Event& event);
    [[nodiscard]] static bool is_beyond_induction(const SimulatedJob& job);
    void check_handover(SimulatedJob& job);
    void check_commands(const eventlog::Record& record);
    void check_epoch(const OrchestratorHost& server);
    void check_wanted(const OrchestratorHost& from, const std::string& machine,
                      const EffectWanted& wanted);
    void check_ack(const OrchestratorHost& from, const std::string& machine, const ReportAck& ack);
    void check_conditions(SimulatedJob& job, const statemachine::Event& event);
    void check_verified(SimulatedJob& job, const statemachine::Job& state);
    void check_claim(const AgentHost& host, const Report& report);
    void check_fence(SimulatedJob& job);
    void check_fence_is_back(SimulatedJob& job);
    void check_walker(const SimulatedJob& job);
    void check_power_cut(SimulatedJob& job, const std::string& when, std::uint64_t acknowledged);
    void check_point(SimulatedJob& job, std::span<const std::vector<Version>> images,
                     const std::string& when);
    void check_base(SimulatedJob& job, std::string_view when);
    void check_overlays_made(SimulatedJob& job);
    void check_overlays_gone(SimulatedJob& job, const std::string& when);
    void note_images(SimulatedJob& job, std::string_view step);
    void note_down(SimulatedJob& job, const statemachine::Event& event);
    void check_way_back_cut(SimulatedJob& job, const std::string& when);
    void check_taken_back(SimulatedJob& job);
    void check_released(SimulatedJob& job);
    void check_not_reversing(SimulatedJob& job);
    void check_job_end(SimulatedJob& job, const statemachine::Job& state);

    World& world_;
    std::uint64_t steps_of_targets_ = 0;  ///< with a journal
    std::uint64_t steps_of_sources_ = 0;  ///< likewise
    eventlog::Seq last_seq_ = 0;
    /// Command ids whose facts are complete: none may come again.
    std::unordered_set<Uuid, UuidHash> commands_;
    Uuid last_command_;
    eventlog::Epoch last_epoch_ = 0;
    /// Outcomes that nobody has acknowledged yet, by report.
    std::map<Uuid, Report> reports_;
    /// Reports that said that a source is in service.
    std::unordered_set<Uuid, UuidHash> claims_;
    /// What each agent reported as done, and under which report.
    std::map<std::pair<std::string, EffectId>, Uuid> outcomes_;
};

}  // namespace drover::sim
