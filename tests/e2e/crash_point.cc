// The crash points of droverd-crash: DROVER_CRASH_AT=NAME[:N] ends the process at the N-th time
// (the first, unless told) that it reaches the point NAME.
#include "base/crash_point.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

namespace drover {
namespace {

struct Chosen {
    std::string name;
    unsigned long hits_left = 1;
};

Chosen chosen_point() {
    const char* text = std::getenv("DROVER_CRASH_AT");
    if (text == nullptr) return {};
    const std::string_view whole = text;
    const std::size_t colon = whole.find(':');
    Chosen chosen{std::string(whole.substr(0, colon))};
    if (colon != std::string_view::npos)
        chosen.hits_left = std::strtoul(text + colon + 1, nullptr, 10);
    return chosen;
}

}  // namespace

void reach_crash_point(const char* name) {
    static Chosen chosen = chosen_point();
    if (chosen.name != name || --chosen.hits_left != 0) return;
    std::fprintf(stderr, "crash point %s\n", name);
    // Not abort(): nothing of the process may still run, flush or unlock.
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
}

}  // namespace drover
