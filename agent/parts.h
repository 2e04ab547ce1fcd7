/// What the agent's procedures need of the world. References: everything outlives them.
#pragma once

#include "agent/config.h"
#include "agent/exposure.h"
#include "agent/fence_store.h"
#include "agent/host_ops.h"
#include "agent/journal.h"
#include "agent/state_store.h"
#include "base/clock.h"

#include <functional>
#include <string_view>

namespace drover::agent {

struct AgentParts {
    const Config& config;
    const StatePaths& paths;
    const AgentIdentity& identity;
    HostOps& host;
    Journal& journal;
    FenceStore& fences;
    ExposureStore& exposures;
    Clock& clock;
    /// Called after every step of an ownership effect that leaves a trace in the world. May not
    /// return: tests and simulations end the "process" here. Empty: nobody looks.
    std::function<void(std::string_view step)> step_done;

    void step(std::string_view name) const {
        if (step_done) step_done(name);
    }
};

}  // namespace drover::agent
