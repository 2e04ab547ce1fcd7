#include "statemachine/phase.h"

#include "base/assert.h"

namespace drover::statemachine {

std::string_view name_of(Phase phase) {
    switch (phase) {
        case Phase::planned:
            return "planned";
        case Phase::blocked:
            return "blocked";
        case Phase::ready:
            return "ready";
        case Phase::mirroring:
            return "mirroring";
        case Phase::syncing:
            return "syncing";
        case Phase::testing:
            return "testing";
        case Phase::armed:
            return "armed";
        case Phase::fencing:
            return "fencing";
        case Phase::draining:
            return "draining";
        case Phase::verifying:
            return "verifying";
        case Phase::activating:
            return "activating";
        case Phase::validating:
            return "validating";
        case Phase::holding:
            return "holding";
        case Phase::committed:
            return "committed";
        case Phase::rolling_back:
            return "rolling_back";
        case Phase::reverse_draining:
            return "reverse_draining";
        case Phase::reverse_verifying:
            return "reverse_verifying";
        case Phase::rolled_back:
            return "rolled_back";
        case Phase::cancelled:
            return "cancelled";
    }
    DROVER_UNREACHABLE();
}

}  // namespace drover::statemachine
