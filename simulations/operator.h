/// The person in front of it all: plans jobs, starts cutovers, decides, retries what parked,
/// repeats requests whose answers got lost, and now and then does something at a bad moment.
#pragma once

#include "simulations/world.h"

namespace drover::sim {

class Operator {
  public:
    Operator(World& world, Dice dice);

    /// Looks at the job after `delay`, unless a look is due already.
    void look_after(SimulatedJob& job, Micros delay);

    /// The job has just entered its phase: some think better of it at once.
    void phase_entered(SimulatedJob& job);

    /// Commands that were acknowledged, by id: must stand in the log for ever.
    struct Acknowledged {
        Uuid command_id;
        orchestrator::Answer answer;
    };

    [[nodiscard]] const std::vector<Acknowledged>& acknowledged() const { return acknowledged_; }

    /// A registry or job request, repeated until it is answered.
    void ask(orchestrator::Submission submission, OrchestratorHost::Heard heard);

  private:
    void look(SimulatedJob& job);
    void wish(SimulatedJob& job, statemachine::Wish wish, const std::string& reason = {});
    void act_by_phase(SimulatedJob& job, const statemachine::Job& state);
    [[nodiscard]] bool help(SimulatedJob& job, const statemachine::Job& state);
    [[nodiscard]] bool give_up_way_back(SimulatedJob& job, const statemachine::Job& state);
    void roll_back(SimulatedJob& job, const statemachine::Job& state);
    void give_disks(SimulatedJob& job, const statemachine::Job& state);
    void look_after_copy(SimulatedJob& job, const statemachine::Job& state);
    void look_after_test(SimulatedJob& job, const statemachine::Job& state);
    void decide_hold(SimulatedJob& job, const statemachine::Job& state);
    [[nodiscard]] bool make_mischief(SimulatedJob& job, const statemachine::Job& state);
    void send(const std::shared_ptr<orchestrator::Submission>& submission,
              const std::shared_ptr<bool>& answered, const OrchestratorHost::Heard& heard);
    [[nodiscard]] Uuid fresh_id();

    World& world_;
    Dice dice_;
    std::vector<Acknowledged> acknowledged_;
};

}  // namespace drover::sim
