/// Assertions state what the code believes. They stay on in release: a broken belief stops the process,
/// and start-up recovers from what is really on disk. Bad input is never an assertion.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace drover {

[[noreturn]] inline void assertion_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "drover: assertion failed: %s (%s:%d)\n", expression, file, line);
    std::abort();
}

}  // namespace drover

#define DROVER_ASSERT(expression) \
    ((expression) ? void(0) : ::drover::assertion_failed(#expression, __FILE__, __LINE__))
#define DROVER_UNREACHABLE() ::drover::assertion_failed("unreachable", __FILE__, __LINE__)
