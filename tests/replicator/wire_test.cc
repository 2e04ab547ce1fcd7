/// What the two agents say to each other, and what each makes of nonsense.
#include "base/sha256.h"
#include "replicator/checkpoint.h"
#include "replicator/disk_hash.h"
#include "replicator/frame.h"
#include "replicator/merkle.h"
#include "replicator/peer_codec.h"
#include "replicator/target_admission.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::ok;

template <class Fixed>
Fixed filled(std::uint8_t value) {
    Fixed out;
    out.data.fill(value);
    return out;
}

Ticket ticket(std::uint64_t serial = 3) {
    Ticket out;
    out.lineage = filled<Uuid>(1);
    out.job = filled<JobId>(2);
    out.job_name = "web-01";
    out.serial = serial;
    out.source_agent = "source";
    out.target_agent = "target";
    out.disks = {{"/dev/vda", "/dev/vdb"}};
    out.sizes_bytes = {1U << 20};
    out.not_after_micros = 5;
    out.signature = Bytes(64, 7);
    return out;
}

PeerHello hello(std::uint64_t serial = 3) {
    PeerHello out;
    out.ticket = ticket(serial);
    out.generation = filled<Generation>(9);
    out.boot_id = "boot";
    out.resume = true;
    out.capabilities = {"bulk.raw"};
    out.lanes = 4;
    return out;
}

std::vector<SourceMessage> source_messages() {
    Commit commit{8, 2, filled<Digest>(4), {4096}, filled<Generation>(9)};
    return {hello(),
            commit,
            HashRange{{0, 4096, 65536, 65536}},
            ShaRange{{0, 0, 1 << 20, 1 << 20}},
            Ping{},
            ReadBackWanted{true},
            CompareRange{{0, 8U << 20, 4096, 4096}, true},
            HoldingWanted{}};
}

std::vector<TargetMessage> target_messages() {
    PeerWelcome welcome;
    welcome.session_id = filled<Uuid>(5);
    welcome.checkpoint = {
        CheckpointState::promoted, filled<Generation>(9), 7, JournalMode::direct, {4096}};
    welcome.checkpoint.verified_batch = 6;
    welcome.sizes_bytes = {1U << 20};
    welcome.capabilities = {"bulk.zero"};
    welcome.lanes = 3;
    return {welcome,
            PeerRefused{Error(Errc::denied, "target_promoted", "detail", "kept", "next")},
            Committed{8},
            RangeHashes{0, 4096, {filled<Digest>(1), filled<Digest>(2)}},
            RangeLeaves{0, 0, {filled<Hash>(3)}},
            Working{},
            Pong{},
            ReadBackFound{7, 4096, 8192, 512, {{0, 4096, 512}}},
            RangeCompared{1, 8U << 20, {filled<Hash>(4), Hash()}, Bytes{0x80, 0x01}},
            Holding{welcome.checkpoint, 65536},
            Waiting{Error(Errc::conflict, "test_journal_full", "detail", "kept", "next")}};
}

TEST_CASE("peer codec: every message comes back as it was sent") {
    for (const SourceMessage& message : source_messages()) {
        const auto back = decode_source_message(encode(message));
        REQUIRE(ok(back));
        CHECK(*back == message);
    }
    for (const TargetMessage& message : target_messages()) {
        const auto back = decode_target_message(encode(message));
        REQUIRE(ok(back));
        CHECK(*back == message);
    }
    const BulkHello bulk{filled<Uuid>(5), ticket(), 2, 3};
    const auto back = decode_bulk_hello(encode(bulk));
    REQUIRE(ok(back));
    CHECK(*back == bulk);
}

TEST_CASE("peer codec: who says nothing of lanes has one, and a lane is one of those there are") {
    PeerHello silent = hello();
    silent.lanes = 0;
    const auto heard = decode_source_message(encode(SourceMessage(silent)));
    REQUIRE(ok(heard));
    CHECK(std::get<PeerHello>(*heard).lanes == 1);
    const auto only = decode_bulk_hello(encode(BulkHello{filled<Uuid>(5), ticket(), 0, 0}));
    REQUIRE(ok(only));
    CHECK(only->lanes == 1);
    CHECK_FALSE(ok(decode_bulk_hello(encode(BulkHello{filled<Uuid>(5), ticket(), 3, 3}))));
    CHECK_FALSE(ok(decode_bulk_hello(encode(BulkHello{filled<Uuid>(5), ticket(), 1, 0}))));
}

TEST_CASE("peer codec: a message cut anywhere is refused") {
    for (const SourceMessage& message : source_messages()) {
        const Bytes whole = encode(message);
        for (std::size_t length = 0; length < whole.size(); ++length)
            REQUIRE_FALSE(ok(decode_source_message(ByteView(whole).first(length))));
    }
}

TEST_CASE("peer codec: a flipped bit never crashes a decoder") {
    for (const TargetMessage& message : target_messages()) {
        const Bytes whole = encode(message);
        for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
            Bytes damaged = whole;
            damaged[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
            const auto decoded = decode_target_message(damaged);
            if (!decoded) REQUIRE(decoded.error().code() == Errc::invalid);
        }
    }
}

TEST_CASE("peer codec: digests that are not whole are refused") {
    Bytes bytes = encode(TargetMessage(RangeLeaves{0, 0, {filled<Hash>(3)}}));
    const auto as_hashes = decode_target_message(bytes);
    REQUIRE(ok(as_hashes));
    // 31 bytes instead of 32: the list pointer's count is in its upper word.
    bool refused = false;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
        if (get_u32(bytes, at + 4) != ((32U << 3) | 2U)) continue;
        bytes[at + 4] = static_cast<std::uint8_t>((31U << 3) | 2U);
        refused = !decode_target_message(bytes);
    }
    CHECK(refused);
}

// ---- frames ----

struct Framed {
    FrameHeader header;
    Bytes payload = Bytes(4096, 5);

    Framed() {
        header.batch = 1;
        header.offset = 8192;
        header.raw_length = 4096;
        header.stored_length = 4096;
        header.digest = digest_of(payload);
    }

    [[nodiscard]] Bytes bytes() const {
        Bytes out;
        put_bytes(out, encode_frame_header(header));
        put_bytes(out, payload);
        return out;
    }

    [[nodiscard]] bool parses() const {
        const std::uint64_t sizes[] = {1U << 20};
        const Bytes whole = bytes();
        const auto frame = parse_frame(whole, sizes);
        if (!frame) CHECK(frame.error().id() == "bad_frame");
        return frame.has_value();
    }
};

TEST_CASE("frame: what was encoded is what is parsed") {
    const Framed framed;
    const std::uint64_t sizes[] = {1U << 20};
    const Bytes bytes = framed.bytes();
    const auto frame = parse_frame(bytes, sizes);
    REQUIRE(ok(frame));
    CHECK(frame->header == framed.header);
    CHECK(frame->payload.size() == 4096);
    CHECK(ok(check_content(*frame)));
}

TEST_CASE("frame: hostile lengths and offsets are refused before use") {
    Framed f;
    SECTION("unknown disk") {
        f.header.disk = 1;
    }
    SECTION("beyond the end") {
        f.header.offset = (1U << 20) - 512;
    }
    SECTION("offset that overflows") {
        f.header.offset = ~std::uint64_t{0} - 511;
    }
    SECTION("length above the limit") {
        f.header.raw_length = f.header.stored_length = frame_raw_bytes_max + 512;
    }
    SECTION("length 0") {
        f.header.raw_length = f.header.stored_length = 0;
        f.payload.clear();
    }
    SECTION("stored differs from what arrived") {
        f.payload.pop_back();
    }
    SECTION("stored differs from raw") {
        f.header.stored_length = 512;
    }
    SECTION("not on a sector") {
        f.header.offset = 1;
    }
    SECTION("ends between sectors inside the disk") {
        f.header.raw_length = f.header.stored_length = 100;
        f.payload.resize(100);
    }
    SECTION("zero frame with a payload") {
        f.header.kind = FrameKind::zero;
    }
    SECTION("unknown kind") {
        f.header.kind = static_cast<FrameKind>(3);
    }
    SECTION("unknown codec") {
        f.header.codec = static_cast<FrameCodec>(1);
    }
    CHECK_FALSE(f.parses());
}

TEST_CASE("frame: the odd end of an image is a valid range") {
    Framed f;
    f.header.offset = 1024;
    f.header.raw_length = f.header.stored_length = 100;
    f.payload.resize(100);
    const std::uint64_t sizes[] = {1124};
    const Bytes bytes = f.bytes();
    CHECK(ok(parse_frame(bytes, sizes)));
}

TEST_CASE("frame: every truncation of a header is refused") {
    const Bytes whole = Framed().bytes();
    const std::uint64_t sizes[] = {1U << 20};
    for (std::size_t length = 0; length < whole.size(); ++length)
        REQUIRE_FALSE(ok(parse_frame(ByteView(whole).first(length), sizes)));
}

TEST_CASE("frame: content that is not what was read is corrupt") {
    Framed f;
    const std::uint64_t sizes[] = {1U << 20};
    SECTION("a flipped bit") {
        f.payload[100] ^= 1;
    }
    SECTION("a zero frame whose content was not zero") {
        f.payload.clear();
        f.header.stored_length = 0;
        f.header.kind = FrameKind::zero;
    }
    const Bytes bytes = f.bytes();
    const auto frame = parse_frame(bytes, sizes);
    REQUIRE(ok(frame));
    const auto checked = check_content(*frame);
    REQUIRE_FALSE(ok(checked));
    CHECK(checked.error().code() == Errc::corrupt);
}

// ---- checkpoint and admission ----

Checkpoint checkpoint() {
    Checkpoint out;
    out.lineage = filled<Uuid>(1);
    out.job = filled<JobId>(2);
    out.generation = filled<Generation>(9);
    out.batch = 12;
    out.serial = 3;
    out.disks = {{4096, 1U << 20, "serial:x", {}}};
    std::uint8_t value = 20;
    for (const std::uint64_t offset : sample_offsets(out.job, 0, 1U << 20))
        if (value < 23) out.disks[0].samples.push_back({offset, filled<Digest>(value++)});
    return out;
}

TEST_CASE("checkpoint: survives its own encoding, and no damage goes unseen") {
    const Bytes bytes = encode_checkpoint(checkpoint());
    const auto back = decode_checkpoint(bytes);
    REQUIRE(ok(back));
    CHECK(*back == checkpoint());
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        Bytes damaged = bytes;
        damaged[at] ^= 0x40;
        REQUIRE_FALSE(ok(decode_checkpoint(damaged)));
        REQUIRE_FALSE(ok(decode_checkpoint(ByteView(bytes).first(at))));
    }
}

std::string refusal(const Result<Checkpoint>& result) {
    return result ? std::string("taken") : result.error().id();
}

std::string decoded(const Checkpoint& damaged) {
    return refusal(decode_checkpoint(encode_checkpoint(damaged)));
}

TEST_CASE("checkpoint: a table of samples that nobody can have written is damage") {
    CHECK(decoded(checkpoint()) == "taken");
    Checkpoint damaged = checkpoint();
    Samples& samples = damaged.disks[0].samples;
    SECTION("out of order") {
        std::swap(samples[0], samples[1]);
    }
    SECTION("one place twice") {
        samples[1].offset = samples[0].offset;
    }
    SECTION("at another place") {
        samples[2].offset += 512;
    }
    SECTION("beyond the end of the disk") {
        samples[2].offset = 1U << 20;
    }
    SECTION("more than there may be") {
        samples.resize(samples_max + 1);
    }
    SECTION("of a disk of another size") {
        damaged.disks[0].size_bytes += 1U << 20;
    }
    SECTION("of another disk of the job") {
        damaged.disks.insert(damaged.disks.begin(), {0, 4096, "serial:y", {}});
    }
    CHECK(decoded(damaged) == "checkpoint_corrupt");
}

TEST_CASE("checkpoint: more mirrored than the disk holds is damage") {
    Checkpoint damaged = checkpoint();
    damaged.disks[0].mirrored_upto = damaged.disks[0].size_bytes + 1;
    CHECK(decoded(damaged) == "checkpoint_corrupt");
}

TEST_CASE("checkpoint: in journal mode it is not for versions without journals") {
    Checkpoint with_journal = checkpoint();
    with_journal.mode = JournalMode::journal;
    Bytes bytes = encode_checkpoint(with_journal);
    CHECK(bytes[8] == 3);
    CHECK(*decode_checkpoint(bytes) == with_journal);
    with_journal.mode = JournalMode::direct;
    CHECK(encode_checkpoint(with_journal)[8] == 2);
    bytes[8] = 2;
    Bytes body(bytes.begin(), bytes.end() - 4);
    put_u32(body, crc32c(body));
    CHECK(refusal(decode_checkpoint(body)) == "checkpoint_corrupt");
}

TEST_CASE("checkpoint: during a test it is not for versions without tests") {
    Checkpoint in_test = checkpoint();
    in_test.mode = JournalMode::journal;
    in_test.is_in_test = true;
    const Bytes bytes = encode_checkpoint(in_test);
    CHECK(bytes[8] == 4);
    CHECK(*decode_checkpoint(bytes) == in_test);
}

TEST_CASE("checkpoint: another version of the format is named, not guessed at") {
    Bytes bytes = encode_checkpoint(checkpoint());
    for (const std::uint8_t version : Bytes{1, 5}) {
        bytes[8] = version;
        Bytes body(bytes.begin(), bytes.end() - 4);
        put_u32(body, crc32c(body));
        CHECK(refusal(decode_checkpoint(body)) == "checkpoint_too_new");
    }
}

Result<Checkpoint> admitted(const Checkpoint& known, const PeerHello& asked,
                            bool acknowledged = false) {
    const Ticket own = ticket();
    return admit({own, acknowledged, known, {1U << 20}, {512}}, asked);
}

TEST_CASE("admission: the common case changes nothing") {
    const auto next = admitted(checkpoint(), hello());
    REQUIRE(ok(next));
    CHECK(*next == checkpoint());
}

TEST_CASE("admission: a ticket below one seen before is refused, a higher one is remembered") {
    CHECK(refusal(admitted(checkpoint(), hello(2))) == "ticket_superseded");
    Checkpoint seen = checkpoint();
    seen.serial = 9;
    CHECK(refusal(admitted(seen, hello(8))) == "ticket_superseded");
    CHECK(admitted(seen, hello(10))->serial == 10);
}

TEST_CASE("admission: promoted disks need a higher serial and both acknowledgements") {
    Checkpoint promoted = checkpoint();
    promoted.state = CheckpointState::promoted;
    PeerHello asked = hello(4);
    asked.overwrite_acknowledged = true;
    CHECK(refusal(admitted(promoted, asked, false)) == "target_promoted");
    asked.overwrite_acknowledged = false;
    CHECK(refusal(admitted(promoted, asked, true)) == "target_promoted");
    asked = hello(3);
    asked.overwrite_acknowledged = true;
    CHECK(refusal(admitted(promoted, asked, true)) == "target_promoted");
    asked.ticket.serial = 4;
    const auto next = admitted(promoted, asked, true);
    REQUIRE(ok(next));
    CHECK(next->state == CheckpointState::invalid);
    CHECK(next->generation.is_zero());
    CHECK(next->disks[0].mirrored_upto == 0);
}

TEST_CASE("admission: a disk planned anew with another size is compared as a whole") {
    PeerHello asked = hello(4);
    asked.ticket.sizes_bytes = {1U << 19};
    Checkpoint known = checkpoint();
    known.disks[0].mirrored_upto = 1U << 20;
    const auto next = admitted(known, asked);
    REQUIRE(ok(next));
    CHECK(next->state == CheckpointState::invalid);
    CHECK(next->generation.is_zero());
    CHECK(next->disks[0] == CheckpointDisk{0, 1U << 19, "serial:x", {}});
    CHECK(decoded(*next) == "taken");
    SECTION("unless nothing was ever mirrored") {
        known.generation = Generation();
        known.disks[0].mirrored_upto = 0;
        CHECK(admitted(known, asked)->for_peer().is_blank());
    }
}

TEST_CASE("admission: another job, a larger source, an unknown version are refused") {
    PeerHello asked = hello();
    SECTION("job") {
        asked.ticket.job = filled<JobId>(8);
        CHECK(refusal(admitted(checkpoint(), asked)) == "ticket_mismatch");
    }
    SECTION("lineage") {
        asked.ticket.lineage = filled<Uuid>(8);
        CHECK(refusal(admitted(checkpoint(), asked)) == "ticket_mismatch");
    }
    SECTION("size") {
        asked.ticket.sizes_bytes = {(1U << 20) + 1};
        CHECK(refusal(admitted(checkpoint(), asked)) == "target_too_small");
    }
    SECTION("version") {
        asked.version_min = asked.version_max = 2;
        CHECK(refusal(admitted(checkpoint(), asked)) == "version_mismatch");
    }
}

// ---- merkle ----

TEST_CASE("merkle: leaves are at least a MiB and at most 4096") {
    CHECK(leaf_bytes_for(0) == 1U << 20);
    CHECK(leaf_bytes_for(std::uint64_t{4} << 30) == 1U << 20);
    CHECK(leaf_bytes_for((std::uint64_t{4} << 30) + 1) == 2U << 20);
    CHECK(leaf_bytes_for(std::uint64_t{1} << 40) == 256U << 20);
}

TEST_CASE("merkle: the root is what the definition says") {
    const Hash a = sha256(as_bytes("a"));
    const Hash b = sha256(as_bytes("b"));
    const Hash c = sha256(as_bytes("c"));
    const auto node = [](const Hash& left, const Hash& right) {
        Bytes text{0x01};
        put_bytes(text, left.view());
        put_bytes(text, right.view());
        return sha256(text);
    };
    Bytes text{0x02};
    put_u64(text, 3U << 20);
    put_u64(text, 1U << 20);
    put_bytes(text, node(node(a, b), c).view());
    CHECK(merkle_root(3U << 20, 1U << 20, {a, b, c}) == sha256(text));
    CHECK(merkle_root(3U << 20, 1U << 20, {a, c, b}) != sha256(text));
}

TEST_CASE("disk hash: pieces of a chunk hash like the chunk as a whole") {
    MemoryDevice disk((3U << 20) + 1000);
    for (std::size_t i = 0; i < disk.contents().size(); ++i)
        disk.contents()[i] = static_cast<std::uint8_t>(i * 7 + i / 4096);
    const auto go = [] { return Result<>(); };
    const auto leaves = read_leaves(disk, 0, disk.contents().size(), 2U << 20, go);
    REQUIRE(ok(leaves));
    REQUIRE(leaves->size() == 2);
    Bytes text{0x00};
    put_bytes(text, ByteView(disk.contents()).subspan(2U << 20));
    CHECK((*leaves)[1] == sha256(text));
    const auto digests = read_digests(disk, 65536, 100000 / 512 * 512, 65536, go);
    REQUIRE(ok(digests));
    CHECK((*digests)[0] == digest_of(ByteView(disk.contents()).subspan(65536, 65536)));
    CHECK(digests->size() == 2);
}

}  // namespace
}  // namespace drover::replicator
