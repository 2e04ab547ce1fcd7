// The simulator's base/log.h: lines go to the trace, if somebody wants one.
#include "base/log.h"

#include "simulations/environment.h"

#include <string>

namespace drover::log {
namespace {

void write(std::string_view level, std::string_view component, std::string_view message,
           std::string_view context) {
    const auto& on_log = sim::Environment::current().on_log;
    if (!on_log) return;
    std::string line;
    for (const std::string_view part : {level, component, message, context})
        line += (line.empty() || part.empty() ? "" : " ") + std::string(part);
    on_log(line);
}

}  // namespace

void set_level(Level) {}

void debug(std::string_view component, std::string_view message, std::string_view context) {
    write("debug", component, message, context);
}

void info(std::string_view component, std::string_view message, std::string_view context) {
    write("info", component, message, context);
}

void warn(std::string_view component, std::string_view message, std::string_view context) {
    write("warn", component, message, context);
}

void error(std::string_view component, std::string_view message, std::string_view context) {
    write("error", component, message, context);
}

}  // namespace drover::log
