#include "cli/units.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

TEST_CASE("units: a size needs a unit and says exactly how many bytes it is") {
    CHECK(*parse_size("0B") == 0);
    CHECK(*parse_size("4096B") == 4096);
    CHECK(*parse_size("64KiB") == 65536);
    CHECK(*parse_size("1.5GiB") == 1610612736);
    CHECK(*parse_size("100MB") == 100'000'000);
    CHECK(*parse_size("16777215TiB") == 16777215ULL << 40);
}

TEST_CASE("units: a size that could be misread is refused") {
    for (const char* text :
         {"",      "10",           "MiB",    "10 MiB",  "-1MiB",       "+1MiB",
          "1.MiB", ".5MiB",        "1,5MiB", "10mib",   "10M",         "0x10B",
          "1.5B",  "1.0000001GiB", "1e3B",   "10MiB/s", "16777216TiB", "18446744073709551616B",
          "1MiB ", "1.2.3MiB"}) {
        INFO(text);
        const auto size = parse_size(text);
        REQUIRE_FALSE(size);
        CHECK(size.error().id() == "bad_size");
    }
}

TEST_CASE("units: a rate is a size a second, and unlimited is none") {
    CHECK(*parse_rate("100MiB") == 104857600);
    CHECK(*parse_rate("100MiB/s") == 104857600);
    CHECK(*parse_rate("unlimited") == 0);
    CHECK_FALSE(parse_rate("100MiB/h"));
    CHECK_FALSE(parse_rate("Unlimited"));
}

TEST_CASE("units: a duration names each unit once, largest first") {
    CHECK(*parse_duration("0s") == 0);
    CHECK(*parse_duration("90s") == 90);
    CHECK(*parse_duration("10m") == 600);
    CHECK(*parse_duration("1h30m") == 5400);
    CHECK(*parse_duration("5d") == 432000);
    CHECK(*parse_duration("1d2h3m4s") == 93784);
    for (const char* text : {"", "10", "m", "30m1h", "1h1h", "1.5h", "-1s", "1h 30m", "1w", "10S",
                             "3651d", "18446744073709551615d"}) {
        INFO(text);
        const auto duration = parse_duration(text);
        REQUIRE_FALSE(duration);
        CHECK(duration.error().id() == "bad_duration");
    }
}

TEST_CASE("units: sizes and durations read back the way people say them") {
    CHECK(size_text(0) == "0 B");
    CHECK(size_text(1023) == "1023 B");
    CHECK(size_text(1024) == "1.0 KiB");
    CHECK(size_text(1024ULL * 1024 - 1) == "1.0 MiB");
    CHECK(size_text(1610612736) == "1.5 GiB");
    CHECK(size_text(18446744073709551615ULL) == "16.0 EiB");
    CHECK(duration_text(0) == "0s");
    CHECK(duration_text(90) == "1m30s");
    CHECK(duration_text(432000) == "5d");
    for (const std::uint64_t seconds : {1ULL, 59ULL, 3661ULL, 93784ULL, 31536000ULL}) {
        CHECK(*parse_duration(duration_text(seconds)) == seconds);
    }
}
