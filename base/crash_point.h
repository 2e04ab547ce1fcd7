/// Named places where a test kills the process: before and after every step that makes something
/// durable or lets something leave the process. DROVER_CRASH_POINT("name") is nothing at all in the
/// product, the name is gone before the compiler sees it. Only the program droverd-crash compiles
/// the sources that hold one again, with DROVER_CRASH_POINTS defined; there the process ends with
/// SIGKILL when it reaches the chosen one (tests/e2e/crash_point.cc). A name stands in the sources
/// once: scripts/list-crash-points enumerates them.
#pragma once

#ifdef DROVER_CRASH_POINTS

namespace drover {

/// Defined by tests/e2e/crash_point.cc.
void reach_crash_point(const char* name);

}  // namespace drover

#define DROVER_CRASH_POINT(name) (::drover::reach_crash_point(name))

#else

#define DROVER_CRASH_POINT(name) static_cast<void>(0)

#endif
