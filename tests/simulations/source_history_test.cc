// What the rule about points is decided by.
#include "simulations/source_history.h"

#include <array>

#include <catch2/catch.hpp>

namespace drover::sim {
namespace {

using Images = std::array<std::vector<Version>, 2>;

TEST_CASE("source history: what two disks held at once is known, a mixture is not") {
    Disk first("/dev/a", "a", 2);
    Disk second("/dev/b", "b", 1);
    const std::array<const Disk*, 2> disks = {&first, &second};
    SourceHistory history;
    const auto held = [&](const Images& images) { return history.held(images); };
    history.note(disks);
    first.write(0, 1);
    history.note(disks);
    second.write(0, 2);
    history.note(disks);
    first.write(1, 3);
    history.note(disks);
    CHECK(held({{{0, 0}, {0}}}));
    CHECK(held({{{1, 0}, {0}}}));
    CHECK(held({{{1, 0}, {2}}}));
    CHECK(held({{{1, 3}, {2}}}));
    // The later write without the earlier one.
    CHECK_FALSE(held({{{0, 0}, {2}}}));
    CHECK_FALSE(held({{{1, 3}, {0}}}));
    // What never was there.
    CHECK_FALSE(held({{{7, 0}, {0}}}));
}

TEST_CASE(
    "source history: what comes back is there again, and blocks beyond the source do not count") {
    Disk disk("/dev/a", "a", 2);
    const std::array<const Disk*, 1> disks = {&disk};
    SourceHistory history;
    for (const Version version : {1, 2, 1}) {
        disk.write(0, version);
        history.note(disks);
    }
    disk.write(1, 5);
    history.note(disks);
    const std::array<std::vector<Version>, 1> back = {{{1, 5, 9}}};
    CHECK(history.held(back));
    const std::array<std::vector<Version>, 1> never = {{{2, 5, 9}}};
    CHECK_FALSE(history.held(never));
}

}  // namespace
}  // namespace drover::sim
