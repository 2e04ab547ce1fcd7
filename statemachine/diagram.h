/// docs/state-machine.md, generated: the picture and the tables of all facts.
#pragma once

#include <string>

namespace drover::statemachine {

[[nodiscard]] std::string state_machine_document();

}  // namespace drover::statemachine
