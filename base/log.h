/// Operational log lines (not the event log): one line each, to stderr, level and component first.
/// Thread-safe. Never pass a secret. `context` is a list of key=value pairs, for example "job=web-01 trace=9f…".
#pragma once

#include <string_view>

namespace drover::log {

enum class Level { debug, info, warn, error };

/// Lines below `level` are dropped. Call once in main.
void set_level(Level level);

void debug(std::string_view component, std::string_view message, std::string_view context = {});
void info(std::string_view component, std::string_view message, std::string_view context = {});
void warn(std::string_view component, std::string_view message, std::string_view context = {});
void error(std::string_view component, std::string_view message, std::string_view context = {});

}  // namespace drover::log
