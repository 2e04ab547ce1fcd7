/// Tells the service manager that this host may go on starting: its fences were looked at. The
/// protocol of sd_notify(3), one datagram, without its library.
#pragma once

#include "agent/executor.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace drover::agent {

/// For one fence that cannot be had the host waits this long at most, not for ever.
constexpr std::int64_t fence_wait_ms_max = 60'000;

/// `socket`: a path, or "@name" in the abstract namespace. Errors: invalid
/// ("notify_socket_invalid"), io.
[[nodiscard]] Result<> notify_manager(const std::string& socket, std::string_view state);

/// After Executor::start(). Blocks until every fence was looked at, or `limit_ms` is over, which is
/// logged; then says READY=1 to `socket`, if that is not empty.
void say_ready(Executor& executor, std::int64_t limit_ms, const std::string& socket);

}  // namespace drover::agent
