#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace drover::log {
namespace {

spdlog::logger& logger() {
    // A function-local static: the only one in the project, because every line of a process goes to one stderr.
    static const auto instance = [] {
        auto made = spdlog::stderr_logger_mt("drover");
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
        made->flush_on(spdlog::level::debug);
        return made;
    }();
    return *instance;
}

void write(spdlog::level::level_enum level, std::string_view component, std::string_view message,
           std::string_view context) {
    if (context.empty())
        logger().log(level, "{}: {}", component, message);
    else
        logger().log(level, "{}: {} [{}]", component, message, context);
}

}  // namespace

void set_level(Level level) {
    constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info,
                                                    spdlog::level::warn, spdlog::level::err};
    logger().set_level(levels[static_cast<int>(level)]);
}

void debug(std::string_view component, std::string_view message, std::string_view context) {
    write(spdlog::level::debug, component, message, context);
}

void info(std::string_view component, std::string_view message, std::string_view context) {
    write(spdlog::level::info, component, message, context);
}

void warn(std::string_view component, std::string_view message, std::string_view context) {
    write(spdlog::level::warn, component, message, context);
}

void error(std::string_view component, std::string_view message, std::string_view context) {
    write(spdlog::level::err, component, message, context);
}

}  // namespace drover::log
