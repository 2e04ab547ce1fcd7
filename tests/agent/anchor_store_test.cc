// The anchors that an agent keeps: a witness that a rewritten log cannot talk over.
#include "agent/anchor_store.h"

#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>

#include <stdlib.h>

namespace {

using namespace drover;
using namespace drover::agent;

std::string line(std::uint64_t first, std::uint64_t last, const std::string& note = "",
                 std::uint8_t lineage = 1) {
    Uuid id;
    id.data.fill(lineage);
    return "{\"anchor\":{\"lineage\":\"" + uuid_text(id) +
           "\",\"first_seq\":" + std::to_string(first) + ",\"last_seq\":" + std::to_string(last) +
           ",\"note\":\"" + note + "\"}}";
}

std::uint64_t last_seq_of(const std::string& line) {
    const std::string label = "\"last_seq\":";
    return std::stoull(line.substr(line.find(label) + label.size()));
}

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

    /// Of events first..last; `note` tells lines apart.
    [[nodiscard]] Result<bool> keep(std::uint64_t first, std::uint64_t last,
                                    const std::string& note = "", std::uint8_t lineage = 1) const {
        AnchorMade made;
        made.lineage.data.fill(lineage);
        made.last_seq = last;
        made.line = line(first, last, note, lineage);
        return keep_anchor(paths, made);
    }

    [[nodiscard]] std::vector<std::string> lines() const {
        const auto loaded = load_anchors(paths);
        REQUIRE(loaded.has_value());
        return *loaded;
    }

    StatePaths paths;
};

}  // namespace

TEST_CASE("anchor store: of too many some stay from everywhere, the first and the newest too") {
    const Host host;
    CHECK(host.lines().empty());
    for (std::uint64_t i = 0; i < 1'000; ++i) CHECK(host.keep(i * 10 + 1, i * 10 + 10).value());
    const auto lines = host.lines();
    REQUIRE(lines.size() == anchors_kept_max);
    CHECK(lines.front() == line(1, 10));
    CHECK(lines.back() == line(9'991, 10'000));
    std::uint64_t before = 0;
    for (const std::string& kept : lines) {
        const std::uint64_t last = last_seq_of(kept);
        CHECK(last - before <= 400);
        before = last;
    }
}

TEST_CASE("anchor store: a flood of anchors pushes out itself, not what is here") {
    const Host host;
    for (std::uint64_t i = 0; i < 60; ++i) CHECK(host.keep(i * 10 + 1, i * 10 + 10).value());
    const auto before = host.lines();
    for (std::uint64_t seq = 601; seq < 1'000; ++seq) CHECK(host.keep(seq, seq, "other").value());
    const auto after = host.lines();
    REQUIRE(after.size() == anchors_kept_max);
    std::size_t still = 0;
    for (const std::string& line : before)
        still += static_cast<std::size_t>(std::count(after.begin(), after.end(), line));
    CHECK(still >= 30);
}

TEST_CASE("anchor store: what says nothing new, or something else, is not taken") {
    const Host host;
    CHECK(host.keep(6, 10).value());
    CHECK_FALSE(host.keep(6, 10).value());
    CHECK(host.keep(6, 10, "other").error().id() == "anchor_contradicts");
    CHECK(host.keep(10, 20).error().id() == "anchor_contradicts");
    CHECK(host.keep(1, 100).error().id() == "anchor_contradicts");
    CHECK_FALSE(host.keep(1, 5).value());
    CHECK(host.lines() == std::vector<std::string>{line(6, 10)});
    CHECK(host.keep(1, 7, "", 2).value());  // another lineage, which the session has accepted
    CHECK_FALSE(host.keep(6, 10).value());
    CHECK(host.lines() == std::vector<std::string>{line(6, 10), line(1, 7, "", 2)});
}

TEST_CASE("anchor store: the line itself says which events it is about") {
    const Host host;
    AnchorMade made;
    made.lineage.data.fill(1);
    made.last_seq = 1'000;
    for (const std::string& other :
         {line(1, 999), line(1, 1'000, "", 2), line(1'001, 1'000), line(0, 1'000),
          std::string("{}"), std::string("no JSON"), std::string()}) {
        made.line = other;
        CHECK(keep_anchor(host.paths, made).error().id() == "anchor_malformed");
    }
    CHECK(host.lines().empty());
}

TEST_CASE("anchor store: a damaged file is said, not overwritten") {
    const Host host;
    REQUIRE(write_file_durably(host.paths.anchors(), as_bytes("nothing of ours\n")).has_value());
    CHECK(load_anchors(host.paths).error().id() == "anchors_damaged");
    CHECK(keep_anchor(host.paths, {}).error().id() == "anchors_damaged");
    CHECK(read_text(host.paths.anchors()).value() == "nothing of ours\n");
}
