/// droverd backup, restore and upgrade check: the command line of each, and what it prints.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace drover::orchestrator {

/// What the chosen command left for main to do; its exit code.
using Chosen = std::function<int()>;

/// Adds the commands to `app`; the one that is parsed sets `chosen`.
void add_recovery_commands(CLI::App& app, Chosen& chosen);

}  // namespace drover::orchestrator
