/// For REQUIRE and CHECK: whether a Result is a value, with the error's text in the test's output.
#pragma once

#include "base/result.h"

#include <catch2/catch.hpp>

namespace drover::replicator::testing {

template <class T>
[[nodiscard]] bool ok(const Result<T>& result) {
    if (!result) UNSCOPED_INFO(result.error().text());
    return result.has_value();
}

}  // namespace drover::replicator::testing
