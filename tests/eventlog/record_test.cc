#include "eventlog/record.h"

#include "base/sha256.h"
#include "eventlog/chain.h"
#include "tests/eventlog/log_testing.h"

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;

/// One of everything, with the hash that belongs to it.
Record sample() {
    Record record;
    record.seq = 0x0102030405060708;
    record.stream = job(0x11);
    record.stream_seq = 0x21222324;
    record.kind = 0x3132;
    record.kind_version = 0x4142;
    record.wall_micros = 1'700'000'000'123'456;
    record.clock_stepped = true;
    record.epoch = 0x51525354;
    record.command_id = uuid(0x61);
    record.actor = "operator:kim";
    record.cause = 0x0807060504030201;
    record.prev_hash = digest(0xaa);
    record.prev_stream_hash = digest(0xbb);
    record.payload = {0xde, 0xad, 0xbe, 0xef};
    record.hash = record_hash(record);
    return record;
}

/// Never change these bytes: logs in the field have them. A new layout is a new layout version.
const std::string golden =
    "0100"                                                               // layout version
    "01"                                                                 // stream kind: job
    "01"                                                                 // flags: clock_stepped
    "3231"                                                               // kind
    "4241"                                                               // kind version
    "0807060504030201"                                                   // seq
    "40404040404040404040404040404011"                                   // stream id
    "24232221"                                                           // stream seq
    "54535251"                                                           // epoch
    "40222018240a0600"                                                   // wall micros
    "0102030405060708"                                                   // cause
    "40404040404040404040404040404061"                                   // command id
    "0c00"                                                               // actor length
    "0000"                                                               // reserved
    "04000000"                                                           // payload length
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"   // previous in the stream
    "6f70657261746f723a6b696d"                                           // actor
    "deadbeef"                                                           // payload
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";  // previous in the log
const std::string golden_hash = "8d655e960b7a1616c5e60083000bbf07355aefe0de30a691a0e1d86350969e10";

TEST_CASE("record: the stored bytes of one event are frozen", "[record]") {
    CHECK(to_hex(encode_record(sample())) == golden + golden_hash);
}

TEST_CASE("record: the hash is SHA-256 of the domain and the stored bytes before it", "[record]") {
    const auto covered = from_hex(golden);
    REQUIRE(covered);
    const Hash hash = Sha256().update(as_bytes("drover-ev1")).update(*covered).finish();
    CHECK(hash.hex() == golden_hash);
    CHECK(record_hash(sample()) == hash);
}

TEST_CASE("record: decoding gives back what was encoded", "[record]") {
    CHECK(*decode_record(encode_record(sample())) == sample());
    Record empty;
    empty.hash = record_hash(empty);
    CHECK(*decode_record(encode_record(empty)) == empty);
}

TEST_CASE("record: every truncation and every extra byte is refused", "[record]") {
    Bytes stored = encode_record(sample());
    for (std::size_t length = 0; length < stored.size(); ++length) {
        const auto decoded = decode_record(ByteView(stored).first(length));
        INFO("length " << length);
        REQUIRE_FALSE(decoded);
        REQUIRE(decoded.error().code() == Errc::corrupt);
    }
    stored.push_back(0);
    CHECK_FALSE(decode_record(stored));
}

TEST_CASE("record: every flipped bit is refused or breaks the chain", "[record]") {
    const Bytes stored = encode_record(sample());
    for (std::size_t bit = 0; bit < stored.size() * 8; ++bit) {
        Bytes flipped = stored;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        ChainCheck chain(sample().seq - 1, sample().prev_hash);
        INFO("bit " << bit);
        REQUIRE_FALSE(chain.next(flipped));
    }
    ChainCheck chain(sample().seq - 1, sample().prev_hash);
    CHECK(chain.next(stored));
}

TEST_CASE("record: lengths beyond the limits are refused before anything is copied", "[record]") {
    Bytes stored = encode_record(sample());
    Bytes long_actor = stored;
    long_actor[72] = actor_bytes_max + 1;
    CHECK_FALSE(decode_record(long_actor));
    Bytes long_payload = stored;
    long_payload[79] = 0xff;
    CHECK_FALSE(decode_record(long_payload));
}

TEST_CASE("chain: time and epoch never go back", "[record]") {
    Record first = sample();
    Record second = first;
    second.seq = first.seq + 1;
    second.prev_hash = first.hash;
    const auto follow = [&](const Record& next) {
        Record sealed = next;
        sealed.hash = record_hash(sealed);
        ChainCheck chain(first.seq - 1, first.prev_hash);
        REQUIRE(chain.next(encode_record(first)));
        return chain.next(encode_record(sealed));
    };
    CHECK(follow(second));
    Record earlier = second;
    earlier.wall_micros = first.wall_micros - 1;
    CHECK(follow(earlier).error().id() == "chain_broken");
    Record older = second;
    older.epoch = first.epoch - 1;
    CHECK(follow(older).error().id() == "chain_broken");
    Record gap = second;
    gap.seq = first.seq + 2;
    CHECK(follow(gap).error().id() == "event_missing");
}

}  // namespace
}  // namespace drover::eventlog
