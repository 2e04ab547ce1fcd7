/// What goes over the bulk link between a real source and a real target: packed, refused, held
/// back.
#include "tests/replicator/hand_source.h"

#include <algorithm>

namespace drover::replicator {
namespace {

using testing::all_names;
using testing::check_recovers;
using testing::eventually;
using testing::HandSource;
using testing::Lab;
using testing::meddle;
using testing::ok;
using testing::StuckDevice;

constexpr std::uint64_t mib = 1U << 20;

/// Three quarters of every block say the same.
void make_compressible(Lab& lab) {
    for (auto& disk : lab.source_disks) {
        Bytes& contents = disk->disk.contents();
        for (std::size_t at = 0; at < contents.size(); ++at)
            if (at % block_bytes >= block_bytes / 4) contents[at] = 0x5a;
    }
}

/// How many frames went by each codec.
struct Seen {
    std::array<std::atomic<int>, 3> by_codec{};

    void look_at(PeerLinks& links) {
        meddle(links.bulk).on_send = [this](ByteView head) {
            if (head.size() == frame_header_bytes) ++by_codec.at(head[29]);
        };
    }
};

TEST_CASE("transport: by each codec both disks end up equal, and less goes over the wire") {
    const auto wanted = GENERATE(Compression::none, Compression::lz4, Compression::zstd);
    Lab lab({9 * mib, 3 * mib + 777});
    make_compressible(lab);
    lab.compression = wanted;
    Seen seen;
    lab.wrap_links = [&](PeerLinks& links) { seen.look_at(links); };
    lab.mirror();
    for (std::uint8_t block = 0; block < 200; ++block)
        lab.source_disks[0]->write_block(block * 7U, block);
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    const Progress told = lab.recorder.last();
    const std::uint64_t sent = told.bytes_sent_mirror + told.bytes_sent_sync;
    if (wanted == Compression::none) {
        CHECK(told.bytes_on_wire > sent);
        CHECK(seen.by_codec[1] + seen.by_codec[2] == 0);
    } else {
        CHECK(told.bytes_on_wire < sent / 2);
        CHECK(seen.by_codec[wanted == Compression::lz4 ? 1 : 2] > 0);
        CHECK(seen.by_codec[wanted == Compression::lz4 ? 2 : 1] == 0);
    }
    CHECK(ok(lab.source->verify()));
}

TEST_CASE("transport: an older target never sees a codec, whatever its source wants") {
    Lab lab({4 * mib});
    make_compressible(lab);
    lab.compression = GENERATE(Compression::lz4, Compression::zstd);
    Seen seen;
    lab.wrap_links = [&](PeerLinks& links) {
        seen.look_at(links);
        meddle(links.control).on_receive = [](Bytes& bytes) {
            auto message = decode_target_message(bytes);
            if (!message || !std::holds_alternative<PeerWelcome>(*message)) return;
            auto& names = std::get<PeerWelcome>(*message).capabilities;
            std::erase(names, lz4_capability);
            std::erase(names, zstd_capability);
            bytes = encode(*message);
        };
    };
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(seen.by_codec[0] > 0);
    CHECK(seen.by_codec[1] + seen.by_codec[2] == 0);
}

TEST_CASE("transport: a packed frame that is damaged on its way is refused and sent again") {
    Lab lab({6 * mib});
    make_compressible(lab);
    lab.compression = GENERATE(Compression::lz4, Compression::zstd);
    lab.flip_bulk_frame_in = 5;
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 2);
}

TEST_CASE("transport: a target that falls silent is given up after the time for answers") {
    Lab lab({mib});
    lab.ack_timeout_ms = 150;
    int dialled = 0;
    std::pair<std::unique_ptr<wire::Link>, std::unique_ptr<wire::Link>> silent;
    lab.wrap_links = [&](PeerLinks& links) {
        if (++dialled > 1) return;
        // As a peer behind a network that is gone: no byte arrives, and nobody closes.
        silent = wire::make_memory_links();
        links.control = std::move(silent.first);
    };
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 2);
}

// ---- a source by hand ----

TEST_CASE("transport: a batch is what its COMMIT names, frame for frame") {
    Lab lab({mib});
    lab.start_target();
    const Bytes raw(4096, 0x11);
    SECTION("lost") {
        HandSource source(lab, all_names);
        source.send(source.header(0, raw), raw);
        source.send(source.header(4096, raw), raw);
        source.count(source.header(8192, raw));
        source.bulk().abort();
        source.commit();
        CHECK(source.fate() == "session_ended");
    }
    SECTION("sent twice") {
        HandSource source(lab, all_names);
        source.send(source.header(0, raw), raw);
        (void)source.bulk().send(encode_frame_header(source.header(0, raw)), raw);
        source.send(source.header(4096, raw), raw);
        source.commit();
        CHECK(source.fate() == "bad_message");
    }
    SECTION("one instead of another") {
        HandSource source(lab, all_names);
        source.count(source.header(0, raw));
        (void)source.bulk().send(encode_frame_header(source.header(8192, raw)), raw);
        source.commit();
        CHECK(source.fate() == "bad_message");
    }
    SECTION("in another order") {
        HandSource source(lab, all_names);
        source.count(source.header(0, raw));
        source.count(source.header(4096, raw));
        (void)source.bulk().send(encode_frame_header(source.header(4096, raw)), raw);
        (void)source.bulk().send(encode_frame_header(source.header(0, raw)), raw);
        source.commit();
        CHECK(source.fate() == "bad_message");
    }
    SECTION("altered") {
        HandSource source(lab, all_names);
        Bytes other = raw;
        other[77] ^= 1;
        source.send(source.header(0, raw), other);
        source.commit();
        CHECK(source.fate() == "frame_corrupt");
    }
    check_recovers(lab, 0);
}

TEST_CASE("transport: of frames for the same bytes the last one stays, however they come") {
    Lab lab({mib});
    lab.start_target();
    HandSource source(lab, all_names);
    Bytes expected(mib);
    // Small ones wait for each other before they are written; large ones do not.
    const auto send = [&](std::uint64_t block, std::size_t blocks, std::uint8_t fill) {
        const Bytes raw(blocks * 4096, fill);
        source.send(source.header(block * 4096, raw), raw);
        std::ranges::copy(raw, expected.begin() + static_cast<std::ptrdiff_t>(block * 4096));
    };
    for (std::uint8_t round = 1; round < 20; ++round) {
        for (std::uint64_t block = 0; block < 100; block += 3) send(block, 1 + round % 4, round);
        send(50 + round, 1, static_cast<std::uint8_t>(100 + round));
        send(40, 40, static_cast<std::uint8_t>(150 + round));
        send(60, 2, static_cast<std::uint8_t>(200 + round));
        source.commit();
        REQUIRE(source.fate() == "committed");
        CHECK(lab.target_disks[0]->contents() == expected);
    }
}

TEST_CASE("transport: a frame that is played again after its COMMIT is refused") {
    Lab lab({mib});
    lab.start_target();
    HandSource source(lab, all_names);
    const Bytes first(4096, 0x11);
    const Bytes second(4096, 0x22);
    const FrameHeader recorded = source.header(0, first);
    source.send(recorded, first);
    source.commit();
    REQUIRE(source.fate() == "committed");
    source.send(source.header(0, second), second);
    source.commit();
    REQUIRE(source.fate() == "committed");
    (void)source.bulk().send(encode_frame_header(recorded), first);
    CHECK(source.fate() == "bad_frame");
    CHECK(lab.target_disks[0]->contents()[0] == 0x22);
    check_recovers(lab, 2);
}

TEST_CASE("transport: hostile frames are refused by name, and the disk is not touched") {
    Lab lab({mib});
    lab.start_target();
    const Bytes untouched = lab.target_disks[0]->contents();
    BulkCompressor compressor;
    const Bytes raw(65536, 0x33);
    const auto packed = [&](BulkMethod method, const Bytes& data) {
        const ByteView payload = compressor.pack(method, data);
        return Bytes(payload.begin(), payload.end());
    };
    std::vector<std::string> names = all_names;
    Bytes payload = packed(BulkMethod::zstd_fast, raw);
    FrameCodec codec = FrameCodec::zstd;
    std::uint64_t offset = 0;
    std::uint32_t raw_length = 65536;
    std::string expected = "frame_corrupt";
    SECTION("a codec that its hello did not name") {
        names = {"bulk.raw", "bulk.zero", "mode.direct", lz4_capability};
        expected = "bad_frame";
    }
    SECTION("an unknown codec") {
        codec = static_cast<FrameCodec>(3);
        expected = "bad_frame";
    }
    SECTION("a bomb") {
        payload = packed(BulkMethod::zstd_fast, Bytes(mib, 0x33));
    }
    SECTION("too short") {
        payload = packed(BulkMethod::zstd_fast, Bytes(4096, 0x33));
    }
    SECTION("garbage") {
        payload = Bytes(1000, 0xaa);
    }
    SECTION("of the other codec") {
        codec = FrameCodec::lz4;
    }
    SECTION("as long as its data") {
        payload = raw;
        expected = "bad_frame";
    }
    SECTION("beyond the end of the disk") {
        offset = mib - 4096;
        expected = "bad_frame";
    }
    SECTION("at an offset that overflows") {
        offset = ~std::uint64_t{0} - 4095;
        expected = "bad_frame";
    }
    SECTION("longer than a frame may be") {
        raw_length = frame_raw_bytes_max + 4096;
        expected = "bad_frame";
    }
    HandSource source(lab, names);
    FrameHeader header = source.header(offset, raw);
    header.raw_length = raw_length;
    header.stored_length = static_cast<std::uint32_t>(payload.size());
    header.codec = codec;
    source.send(header, payload);
    CHECK(source.fate() == expected);
    CHECK(lab.target_disks[0]->contents() == untouched);
    check_recovers(lab, 0);
}

// ---- nobody may take more memory than is said ----

TEST_CASE("transport: a target whose disk is stuck holds one frame, and the sender waits") {
    constexpr int frames = 32;
    Lab lab({frames * mib});
    StuckDevice::Valve valve;
    lab.open_target_disk = [&](std::size_t i) {
        return std::make_unique<StuckDevice>(*lab.target_disks[i], valve);
    };
    lab.start_target();
    HandSource source(lab, all_names);
    const Bytes raw(mib, 0x44);
    std::atomic<int> taken = 0;
    std::thread sender([&] {
        for (int i = 0; i < frames; ++i) {
            source.send(source.header(static_cast<std::uint64_t>(i) * mib, raw), raw);
            ++taken;
        }
    });
    {
        std::unique_lock lock(valve.mutex);
        valve.changed.wait(lock, [&] { return valve.waiting == 1; });
    }
    // One at the disk, and what the link of the lab holds by itself: less than 2 MiB.
    REQUIRE(eventually([&] { return taken == 2; }));
    // Nothing is left that could move: the sender is in its third frame, the target in its first.
    CHECK_FALSE(testing::within(100, [&] { return taken > 2; }));
    {
        const std::lock_guard lock(valve.mutex);
        CHECK(valve.waiting == 1);
        CHECK(valve.written == 0);
        valve.is_open = true;
        valve.changed.notify_all();
    }
    sender.join();
    CHECK(taken == frames);
    source.commit();
    CHECK(source.fate() == "committed");
    CHECK(valve.written == frames);
}

}  // namespace
}  // namespace drover::replicator
