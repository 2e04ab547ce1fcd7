#include "replicator/journal_format.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

JournalHeader some_header() {
    JournalHeader header;
    header.journal.data.fill(1);
    header.key.data.fill(2);
    header.serial = 77;
    header.life = 5;
    header.mode = JournalMode::journal;
    header.redo_bytes = 1U << 20;
    header.undo_bytes = 1U << 20;
    header.points_max = 8;
    header.applied = {12, true, 1'700'000'000, Bytes(1024, 9)};
    header.redo_tail = 40960;
    header.restoring = 9;
    header.undos.push_back({{9, true, 1, {}}, 4096, 8192, 1, {}});
    header.undos.push_back({{11, false, 2, {}}, 12288, 4096, 0, {}});
    return header;
}

RecordHead some_record() {
    RecordHead head;
    head.journal.data.fill(1);
    head.life = 5;
    head.position = 8192;
    head.batch = 13;
    head.durable = 4096;
    head.payload_bytes = 8192;
    head.entries = {{4096, 4096, 0, false}, {0, 1U << 20, 31, true}, {512, 512, 1, false}};
    return head;
}

RecordHead some_commit() {
    RecordHead head;
    head.kind = RecordKind::commit;
    head.batch = 13;
    head.records = 4;
    head.mark = {13, true, 99, Bytes(100, 3)};
    return head;
}

template <class Change>
bool slot_is_refused(Change change) {
    JournalHeader header = some_header();
    change(header);
    return !parse_slot(encode_slot(header)).has_value();
}

template <class Change>
bool record_is_refused(Change change) {
    RecordHead head = some_record();
    change(head);
    return !parse_record_head(encode_record_head(head)).has_value();
}

TEST_CASE("journal format: what was written is read") {
    CHECK(parse_slot(encode_slot(some_header())) == some_header());
    CHECK(parse_slot(encode_slot(some_header()))->undos.size() == 2);
    CHECK(parse_record_head(encode_record_head(some_record())) == some_record());
    CHECK(parse_record_head(encode_record_head(some_commit())) == some_commit());
}

TEST_CASE("journal format: any flipped bit is noticed") {
    const Bytes blocks[] = {encode_slot(some_header()), encode_record_head(some_record()),
                            encode_record_head(some_commit())};
    for (const Bytes& block : blocks) {
        for (std::size_t bit = 0; bit < block.size() * 8; bit += 7) {
            Bytes damaged = block;
            damaged[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
            REQUIRE_FALSE(parse_slot(damaged));
            REQUIRE_FALSE(parse_record_head(damaged));
        }
    }
    CHECK_FALSE(parse_slot(ByteView(blocks[0]).first(4095)));
    CHECK_FALSE(parse_record_head({}));
}

TEST_CASE("journal format: what this version does not know is refused, not ignored") {
    for (const std::size_t at : {109U, 116U, 127U, 128U + 57U, 4000U, 4079U}) {
        Bytes slot = encode_slot(some_header());
        slot[at] ^= 0x80;
        seal_block(slot);
        CHECK_FALSE(parse_slot(slot));
    }
    Bytes record = encode_record_head(some_record());
    record[100] = 1;
    seal_block(record);
    CHECK_FALSE(parse_record_head(record));
}

TEST_CASE("journal format: a slot that says the impossible is refused") {
    CHECK(slot_is_refused([](JournalHeader& h) { h.redo_bytes = 0; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.redo_bytes = 1000; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.undo_bytes = 4096; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.redo_tail = 17; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.restoring = 10; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.applied.batch = 11; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.undos[1].position += 4096; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.undos[1].bytes = 0; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.undos[1].before.batch = 9; }));
    CHECK(slot_is_refused([](JournalHeader& h) { h.mode = JournalMode::direct; }));
}

TEST_CASE("journal format: a record that says the impossible is refused") {
    CHECK(record_is_refused([](RecordHead& h) { h.payload_bytes = 4096; }));
    CHECK(record_is_refused([](RecordHead& h) { h.payload_bytes = 12288; }));
    CHECK(record_is_refused([](RecordHead& h) { h.entries.clear(); }));
    CHECK(record_is_refused([](RecordHead& h) { h.entries[0].length = 0; }));
    CHECK(record_is_refused([](RecordHead& h) { h.entries[0].length = 2U << 20; }));
    CHECK(record_is_refused([](RecordHead& h) { h.position = 17; }));
    CHECK(record_is_refused([](RecordHead& h) { h.durable = 12288; }));
    CHECK(record_is_refused([](RecordHead& h) { h.records = 1; }));
    CHECK(record_is_refused([](RecordHead& h) { h.kind = RecordKind::commit; }));
}

}  // namespace
}  // namespace drover::replicator
