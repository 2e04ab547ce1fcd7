/// For test output: a result is shown as its error, whatever its value is.
#pragma once

#include "base/result.h"

#include <catch2/catch.hpp>

template <class T>
struct Catch::StringMaker<drover::Result<T>> {
    static std::string convert(const drover::Result<T>& result) {
        return result ? "a value" : result.error().text();
    }
};
