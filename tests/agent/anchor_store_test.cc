// The anchors that an agent keeps: a witness that a rewritten log cannot talk over.
#include "agent/anchor_store.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include <stdlib.h>

namespace {

using namespace drover;
using namespace drover::agent;

struct Host {
    Host() {
        std::string pattern = (std::filesystem::temp_directory_path() / "anchors-XXXXXX").native();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        paths.root = pattern;
    }

    ~Host() {
        std::error_code ignored;
        std::filesystem::remove_all(paths.root, ignored);
    }

    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    bool keep(std::uint64_t last_seq, const std::string& line, std::uint8_t lineage = 1) const {
        AnchorMade made;
        made.lineage.data.fill(lineage);
        made.last_seq = last_seq;
        made.line = line;
        const auto kept = keep_anchor(paths, made);
        REQUIRE(kept.has_value());
        return *kept;
    }

    [[nodiscard]] std::vector<std::string> lines() const {
        const auto loaded = load_anchors(paths);
        REQUIRE(loaded.has_value());
        return *loaded;
    }

    StatePaths paths;
};

}  // namespace

TEST_CASE("anchor store: the last 64 stay, the oldest go") {
    const Host host;
    CHECK(host.lines().empty());
    for (std::uint64_t seq = 1; seq <= 100; ++seq)
        CHECK(host.keep(seq, "{\"anchor\": " + std::to_string(seq) + "}"));
    REQUIRE(host.lines().size() == anchors_kept_max);
    CHECK(host.lines().front() == "{\"anchor\": 37}");
    CHECK(host.lines().back() == "{\"anchor\": 100}");
}

TEST_CASE("anchor store: what says nothing new, or something else, is not taken") {
    const Host host;
    CHECK(host.keep(10, "ten"));
    CHECK_FALSE(host.keep(10, "ten"));
    CHECK_FALSE(host.keep(10, "another ten"));
    CHECK_FALSE(host.keep(9, "nine"));
    CHECK(host.lines() == std::vector<std::string>{"ten"});
    CHECK(host.keep(5, "five", 2));  // another lineage, which the session has accepted
    CHECK_FALSE(host.keep(10, "again", 1));
    CHECK(host.lines() == std::vector<std::string>{"ten", "five"});
}

TEST_CASE("anchor store: a damaged file is said, not overwritten") {
    const Host host;
    REQUIRE(write_file_durably(host.paths.anchors(), as_bytes("nothing of ours\n")).has_value());
    CHECK(load_anchors(host.paths).error().id() == "anchors_damaged");
    CHECK(keep_anchor(host.paths, {}).error().id() == "anchors_damaged");
    CHECK(read_text(host.paths.anchors()).value() == "nothing of ours\n");
}
