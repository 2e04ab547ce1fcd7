#include "eventlog/head_file.h"

#include "eventlog/owner_file.h"
#include "tests/eventlog/log_testing.h"

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;

Head head_at(Seq seq) {
    Head head;
    head.lineage = uuid(1);
    head.seq = seq;
    head.hash = digest(static_cast<std::uint8_t>(seq));
    head.epoch = 3;
    return head;
}

/// A head file that was written for positions 1 to `last`.
std::filesystem::path written_until(const TemporaryDirectory& directory, Seq last) {
    const auto path = directory.path() / "HEAD";
    REQUIRE(HeadFile::create(path, uuid(1)));
    auto file = HeadFile::open(path);
    REQUIRE(file);
    for (Seq seq = 1; seq <= last; ++seq) REQUIRE(file->write(head_at(seq)));
    return path;
}

void spoil(const std::filesystem::path& path, std::size_t at) {
    auto contents = read_file(path);
    REQUIRE(contents);
    (*contents)[at] ^= 1;
    REQUIRE(write_file_durably(path, *contents));
}

TEST_CASE("head file: a new one is at position 0 of its lineage", "[head]") {
    const TemporaryDirectory directory;
    const auto slot = HeadFile::read(written_until(directory, 0));
    REQUIRE(slot);
    REQUIRE(slot->has_value());
    CHECK((*slot)->lineage == uuid(1));
    CHECK((*slot)->seq == 0);
}

TEST_CASE("head file: it says what was written last", "[head]") {
    const TemporaryDirectory directory;
    for (const Seq last : {1U, 2U, 3U, 10U}) {
        const auto slot = HeadFile::read(written_until(directory, last));
        REQUIRE(slot->has_value());
        CHECK((*slot)->seq == last);
        CHECK((*slot)->hash == head_at(last).hash);
        CHECK((*slot)->epoch == 3);
    }
}

TEST_CASE("head file: with one slot damaged the other counts, and the damaged one is written next",
          "[head]") {
    const TemporaryDirectory directory;
    for (const std::size_t slot_at : {std::size_t{0}, head_slot_bytes}) {
        for (const std::size_t at : {0U, 8U, 13U, 31U, 60U, 2000U, 4095U}) {
            const auto path = written_until(directory, 5);
            spoil(path, slot_at + at);
            const auto slot = HeadFile::read(path);
            REQUIRE(slot->has_value());
            CHECK((*slot)->seq >= 4);
            auto file = HeadFile::open(path);
            REQUIRE(file);
            REQUIRE(file->write(head_at(6)));
            spoil(path, (slot_at == 0 ? head_slot_bytes : 0) + at);
            CHECK(HeadFile::read(path).value()->seq == 6);
        }
    }
}

TEST_CASE("head file: missing, short or doubly damaged it has no valid slot", "[head]") {
    const TemporaryDirectory directory;
    const auto path = written_until(directory, 5);
    spoil(path, 20);
    spoil(path, head_slot_bytes + 20);
    CHECK_FALSE(HeadFile::read(path).value().has_value());
    CHECK(HeadFile::open(path).error().id() == "head_file_damaged");
    REQUIRE(write_file_durably(path, Bytes(100)));
    CHECK_FALSE(HeadFile::read(path).value().has_value());
    REQUIRE(remove_file_durably(path));
    CHECK_FALSE(HeadFile::read(path).value().has_value());
}

TEST_CASE("head file: a slot's bytes are frozen", "[head]") {
    HeadSlot slot;
    slot.generation = 0x0102;
    slot.lineage = uuid(1);
    slot.seq = 0x0304;
    slot.hash = digest(0xcc);
    slot.epoch = 0x05;
    const Bytes bytes = encode_head_slot(slot);
    REQUIRE(bytes.size() == head_slot_bytes);
    CHECK(to_hex(ByteView(bytes).first(80)) ==
          "6472767248454144"                  // magic
          "01000000"                          // version
          "05000000"                          // epoch
          "0201000000000000"                  // generation
          "0403000000000000"                  // seq
          "40404040404040404040404040404001"  // lineage
          "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc");
    CHECK(decode_head_slot(bytes) == slot);
}

TEST_CASE("owner file: a second owner is refused by the name of the first", "[owner]") {
    const TemporaryDirectory directory;
    const auto path = directory.path() / "OWNER";
    {
        const auto first = OwnerFile::acquire(path);
        REQUIRE(first);
        const auto second = OwnerFile::acquire(path);
        REQUIRE_FALSE(second);
        CHECK(second.error().id() == "log_owned");
        CHECK(second.error().detail().find("pid=" + std::to_string(::getpid()) + " ") !=
              std::string::npos);
    }
    CHECK(OwnerFile::acquire(path));
}

}  // namespace
}  // namespace drover::eventlog
