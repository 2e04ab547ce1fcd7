/// The vocabulary that the orchestrator and the agents share. Plain values; the Cap'n Proto forms are
/// in agent.capnp (wire) and event.capnp (log).
///
///   statemachine::outstanding ─► Effect ─► wire ─► agent ─► Report ─► wire ─► statemachine::decide
#pragma once

#include "schemas/effect.h"
#include "schemas/plan.h"
#include "schemas/report.h"
