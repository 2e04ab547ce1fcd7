#include "agent/anchor_store.h"
#include "agent/commands.h"

#include <iostream>

namespace drover::agent {

int anchors_command(const std::filesystem::path& config) {
    const auto opened = open_config(config);
    if (!opened) return fail(opened.error());
    const auto lines = load_anchors(opened->paths);
    if (!lines) return fail(lines.error());
    for (const std::string& line : *lines) std::cout << line << "\n";
    return exit_ok;
}

}  // namespace drover::agent
