// Prints docs/state-machine.md.
#include "statemachine/diagram.h"

#include <cstdio>

int main() {
    const std::string document = drover::statemachine::state_machine_document();
    const bool written =
        std::fwrite(document.data(), 1, document.size(), stdout) == document.size();
    return written && std::fflush(stdout) == 0 ? 0 : 1;
}
