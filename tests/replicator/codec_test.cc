/// The codecs of bulk frames against every payload that a source never makes, and the policy that
/// chooses between them, on links of every speed.
#include "base/random.h"
#include "replicator/bulk_codec.h"
#include "replicator/bulk_packer.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include <lz4.h>
#include <zstd.h>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t disk_bytes = 8U << 20;
constexpr BulkCodecs both{true, true};
constexpr std::array packing{BulkMethod::lz4, BulkMethod::zstd_fast, BulkMethod::zstd_dense};

/// Compresses to about a half.
Bytes half_random(std::size_t size) {
    Bytes out(size);
    SeededRandom random(size);
    random.fill(out);
    for (std::size_t at = 0; at < size; ++at)
        if (at / 64 % 2 == 0) out[at] = static_cast<std::uint8_t>(at / 4096);
    return out;
}

Bytes noise(std::size_t size) {
    Bytes out(size);
    SeededRandom(size + 1).fill(out);
    return out;
}

Bytes framed(FrameCodec codec, const Bytes& raw, ByteView payload) {
    FrameHeader header;
    header.batch = 1;
    header.offset = 4096;
    header.raw_length = static_cast<std::uint32_t>(raw.size());
    header.stored_length = static_cast<std::uint32_t>(payload.size());
    header.codec = codec;
    header.digest = digest_of(raw);
    Bytes out;
    put_bytes(out, encode_frame_header(header));
    put_bytes(out, payload);
    return out;
}

/// What a target makes of it: "taken", or the error's id.
std::string fate(ByteView bytes, BulkCodecs codecs = both) {
    const std::uint64_t sizes[] = {disk_bytes};
    const auto packed = parse_frame(bytes, sizes, codecs);
    if (!packed) return packed.error().id();
    BulkDecompressor decompressor;
    const auto frame = decompressor.unpack(*packed);
    if (!frame) return frame.error().id();
    if (packed->header.kind == FrameKind::data)
        CHECK(frame->payload.size() == packed->header.raw_length);
    const auto checked = check_content(*frame);
    return checked ? "taken" : checked.error().id();
}

Bytes packed_by(BulkMethod method, const Bytes& raw) {
    BulkCompressor compressor;
    const ByteView packed = compressor.pack(method, raw);
    return {packed.begin(), packed.end()};
}

TEST_CASE("codec: what was packed comes back, whatever its length") {
    BulkCompressor compressor;
    BulkDecompressor decompressor;
    for (const BulkMethod method : packing) {
        for (const std::size_t size : {std::size_t{512}, std::size_t{4096}, std::size_t{70'000},
                                       std::size_t{256U << 10}, std::size_t{1U << 20}}) {
            const Bytes raw = half_random(size);
            const ByteView payload = compressor.pack(method, raw);
            REQUIRE_FALSE(payload.empty());
            REQUIRE(payload.size() < size);
            const Bytes bytes = framed(codec_of(method), raw, payload);
            const std::uint64_t sizes[] = {4096 + size};
            const auto packed = parse_frame(bytes, sizes, both);
            REQUIRE(ok(packed));
            const auto frame = decompressor.unpack(*packed);
            REQUIRE(ok(frame));
            CHECK(std::equal(frame->payload.begin(), frame->payload.end(), raw.begin(), raw.end()));
            CHECK(ok(check_content(*frame)));
        }
    }
}

TEST_CASE("codec: what would not become shorter is not packed, and a sample tells") {
    BulkCompressor compressor;
    const Bytes raw = noise(256U << 10);
    for (const BulkMethod method : packing) CHECK(compressor.pack(method, raw).empty());
    CHECK(compressor.sample(raw) > CompressionPolicy::ratio_max);
    CHECK(compressor.sample(half_random(256U << 10)) < 0.7);
    CHECK(compressor.sample(half_random(4096)) < 0.7);
    CHECK(compressor.sample(Bytes(512, 7)) < 0.1);
    for (const BulkMethod method : packing) CHECK(compressor.pack(method, Bytes{1}).empty());
}

// ---- hostile payloads ----

TEST_CASE("codec: one that was not agreed is refused as if it were unknown") {
    const Bytes raw = half_random(65536);
    const Bytes lz4 = framed(FrameCodec::lz4, raw, packed_by(BulkMethod::lz4, raw));
    const Bytes zstd = framed(FrameCodec::zstd, raw, packed_by(BulkMethod::zstd_fast, raw));
    CHECK(fate(lz4) == "taken");
    CHECK(fate(zstd) == "taken");
    CHECK(fate(lz4, {}) == "bad_frame");
    CHECK(fate(zstd, {}) == "bad_frame");
    CHECK(fate(lz4, {false, true}) == "bad_frame");
    CHECK(fate(zstd, {true, false}) == "bad_frame");
    Bytes unknown = lz4;
    for (unsigned codec = 3; codec < 256; ++codec) {
        unknown[29] = static_cast<std::uint8_t>(codec);
        REQUIRE(fate(unknown) == "bad_frame");
    }
}

TEST_CASE("codec: a payload is shorter than its data, and a frame without one has no codec") {
    const Bytes raw = half_random(65536);
    for (const FrameCodec codec : {FrameCodec::lz4, FrameCodec::zstd}) {
        CHECK(fate(framed(codec, raw, raw)) == "bad_frame");
        CHECK(fate(framed(codec, raw, Bytes(raw.size() + 1))) == "bad_frame");
        CHECK(fate(framed(codec, raw, {})) == "bad_frame");
        Bytes zeroes = framed(codec, Bytes(4096), {});
        zeroes[28] = static_cast<std::uint8_t>(FrameKind::zero);
        CHECK(fate(zeroes) == "bad_frame");
        zeroes[29] = 0;
        CHECK(fate(zeroes) == "taken");
    }
    // The length that the header says is not the one that arrived.
    Bytes cut = framed(FrameCodec::lz4, raw, packed_by(BulkMethod::lz4, raw));
    cut.pop_back();
    CHECK(fate(cut) == "bad_frame");
}

TEST_CASE("codec: a bomb is refused without the memory that it asks for") {
    const Bytes bomb(64U << 20);
    Bytes zstd(ZSTD_compressBound(bomb.size()));
    zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), bomb.data(), bomb.size(), 1));
    Bytes lz4(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bomb.size()))));
    lz4.resize(static_cast<std::size_t>(LZ4_compress_default(
        reinterpret_cast<const char*>(bomb.data()), reinterpret_cast<char*>(lz4.data()),
        static_cast<int>(bomb.size()), static_cast<int>(lz4.size()))));
    REQUIRE(zstd.size() < (1U << 20));
    REQUIRE(lz4.size() < (1U << 20));
    const Bytes claimed(1U << 20);
    CHECK(fate(framed(FrameCodec::zstd, claimed, zstd)) == "frame_corrupt");
    CHECK(fate(framed(FrameCodec::lz4, claimed, lz4)) == "frame_corrupt");
    // Nor does the header get around the limit of a frame.
    const Bytes larger(frame_raw_bytes_max + 512);
    CHECK(fate(framed(FrameCodec::zstd, larger, packed_by(BulkMethod::zstd_fast, claimed))) ==
          "bad_frame");
}

TEST_CASE("codec: a stream of another length than the header says is refused") {
    const Bytes shorter = half_random(65536);
    Bytes longer = shorter;
    longer.resize(65536 + 4096, 9);
    for (const BulkMethod method : packing) {
        CHECK(fate(framed(codec_of(method), longer, packed_by(method, shorter))) ==
              "frame_corrupt");
        CHECK(fate(framed(codec_of(method), shorter, packed_by(method, longer))) ==
              "frame_corrupt");
    }
}

TEST_CASE("codec: only one whole stream of the codec's present form is taken") {
    const Bytes raw = half_random(262144);
    const Bytes zstd = packed_by(BulkMethod::zstd_fast, raw);
    const auto refused = [&](const Bytes& payload) {
        return fate(framed(FrameCodec::zstd, raw, payload)) == "frame_corrupt";
    };
    Bytes followed = zstd;
    followed.push_back(0);
    CHECK(refused(followed));
    const Bytes skippable{0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    Bytes skipped = zstd;
    skipped.insert(skipped.end(), skippable.begin(), skippable.end());
    CHECK(refused(skipped));
    skipped = skippable;
    skipped.insert(skipped.end(), zstd.begin(), zstd.end());
    CHECK(refused(skipped));
    Bytes halves = packed_by(BulkMethod::zstd_fast, Bytes(raw.begin(), raw.begin() + 131072));
    const Bytes second = packed_by(BulkMethod::zstd_fast, Bytes(raw.begin() + 131072, raw.end()));
    halves.insert(halves.end(), second.begin(), second.end());
    CHECK(refused(halves));
    Bytes old = zstd;
    for (std::uint8_t version = 0x22; version < 0x28; ++version) {
        old[0] = version;
        CHECK(refused(old));
    }
    // Without its content's size, as a streaming encoder writes it.
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    Bytes unsized(raw.size());
    unsized.resize(ZSTD_compress2(context, unsized.data(), unsized.size(), raw.data(), raw.size()));
    ZSTD_freeCCtx(context);
    CHECK(refused(unsized));
}

TEST_CASE("codec: cut or damaged anywhere, a payload is refused and never taken for another") {
    const Bytes raw = half_random(8192);
    for (const BulkMethod method : packing) {
        const Bytes payload = packed_by(method, raw);
        for (std::size_t size = 1; size < payload.size(); size += 1 + size / 16) {
            const Bytes cut(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
            REQUIRE(fate(framed(codec_of(method), raw, cut)) == "frame_corrupt");
        }
        SeededRandom random(7);
        for (int i = 0; i < 2000; ++i) {
            Bytes damaged = payload;
            damaged[random.below(damaged.size())] ^=
                static_cast<std::uint8_t>(1U << random.below(8));
            // A bit that means nothing may change: then the content is what it was.
            const std::string found = fate(framed(codec_of(method), raw, damaged));
            REQUIRE((found == "frame_corrupt" || found == "taken"));
        }
        const Bytes garbage = noise(4000);
        CHECK(fate(framed(codec_of(method), raw, garbage)) == "frame_corrupt");
    }
}

// ---- the policy ----

/// A sender, a link with a buffer, and a disk behind it, in nanoseconds.
class Sender {
  public:
    struct World {
        double link_bytes_per_ns = 1;
        double target_bytes_per_ns = 10;  ///< of raw data
        double read_ns = 0.5;             ///< per byte
        double ratio = 0.55;              ///< by LZ4
        std::uint64_t limit_bytes_per_s = 0;
    };

    explicit Sender(World given, BulkCodecs codecs = both)
        : world(given),
          policy_(codecs) {}

    /// Sends for `ms` and says which part of the bytes went by each method.
    std::array<double, bulk_methods> run(double ms) {
        std::array<double, bulk_methods> bytes{};
        const double end = now_ns_ + ms * 1e6;
        double sum = 0;
        while (now_ns_ < end) {
            const BulkMethod method = send_piece();
            bytes[static_cast<std::size_t>(method)] += piece_bytes;
            sum += piece_bytes;
        }
        for (double& part : bytes) part /= sum;
        sent_ += sum;
        return bytes;
    }

    [[nodiscard]] double sent() const { return sent_; }

    World world;

  private:
    static constexpr double piece_bytes = 256U << 10;
    static constexpr double buffer_bytes = 4U << 20;
    static constexpr std::array<double, bulk_methods> cost_ns{0, 2.6, 4.2, 7.1};
    static constexpr std::array<double, bulk_methods> ratios{1, 1, 0.79, 0.69};

    [[nodiscard]] std::int64_t ms() const { return static_cast<std::int64_t>(now_ns_ / 1e6); }

    /// Of a clock that shows whole milliseconds.
    std::int64_t spend(double ns) {
        const std::int64_t before = ms();
        now_ns_ += ns;
        return ms() - before;
    }

    void drain_to(double ns, double wire_per_ns) {
        buffered_ = std::max(0.0, buffered_ - (ns - drained_ns_) * wire_per_ns);
        drained_ns_ = ns;
    }

    BulkMethod send_piece() {
        policy_.note_read(spend(world.read_ns * piece_bytes));
        CompressionPolicy::Piece piece;
        piece.sampled_ratio = world.ratio;
        if (policy_.may_pay(world.limit_bytes_per_s, ms()))
            piece.method = policy_.choose(world.ratio, world.limit_bytes_per_s, ms());
        const auto method = static_cast<std::size_t>(piece.method);
        piece.codec_ms = spend(cost_ns[method] * piece_bytes);
        const double ratio = method == 0 ? 1 : std::min(1.0, world.ratio * ratios[method]);
        const double wire = piece_bytes * ratio;
        const double wire_per_ns =
            std::min(world.link_bytes_per_ns, world.target_bytes_per_ns * ratio);
        drain_to(now_ns_, wire_per_ns);
        const double over = std::max(0.0, buffered_ + wire - buffer_bytes);
        piece.send_ms = spend(over / wire_per_ns + 0.6 * wire);  // sealing costs the sender too
        drain_to(now_ns_, wire_per_ns);
        buffered_ += wire;
        piece.raw_bytes = static_cast<std::uint64_t>(piece_bytes);
        piece.wire_bytes = static_cast<std::uint64_t>(wire);
        policy_.note_sent(piece, ms());
        return piece.method;
    }

    CompressionPolicy policy_;
    double now_ns_ = 0;
    double drained_ns_ = 0;
    double buffered_ = 0;
    double sent_ = 0;
};

constexpr double gbit = 0.125;  // bytes a nanosecond

double part(const std::array<double, bulk_methods>& parts, BulkMethod method) {
    return parts[static_cast<std::size_t>(method)];
}

TEST_CASE("policy: raw on a fast link, LZ4 at 1 Gbit/s, Zstandard below, the denser below that") {
    const auto settled = [](double link) {
        Sender sender({link, 10, 0.5, 0.55, 0});
        (void)sender.run(3'000);
        return sender.run(20'000);
    };
    CHECK(part(settled(25 * gbit), BulkMethod::raw) == 1);
    CHECK(part(settled(10 * gbit), BulkMethod::raw) == 1);
    CHECK(part(settled(gbit), BulkMethod::lz4) > 0.9);
    CHECK(part(settled(0.4 * gbit), BulkMethod::zstd_fast) > 0.7);
    CHECK(part(settled(0.05 * gbit), BulkMethod::zstd_dense) > 0.9);
}

TEST_CASE("policy: data that does not compress goes raw on any link") {
    Sender sender({0.1 * gbit, 10, 0.5, 0.95, 0});
    CHECK(part(sender.run(5'000), BulkMethod::raw) == 1);
}

TEST_CASE("policy: what the target does not know is never chosen") {
    for (const double link : {10 * gbit, gbit, 0.1 * gbit}) {
        Sender none({link, 10, 0.5, 0.55, 0}, {});
        CHECK(part(none.run(5'000), BulkMethod::raw) == 1);
        Sender lz4({link, 10, 0.5, 0.55, 0}, {true, false});
        const auto parts = lz4.run(5'000);
        CHECK(part(parts, BulkMethod::zstd_fast) + part(parts, BulkMethod::zstd_dense) == 0);
    }
}

TEST_CASE("policy: a slow link is left behind when it becomes fast, and found when it slows down") {
    Sender sender({0.2 * gbit, 10, 0.5, 0.55, 0});
    (void)sender.run(5'000);
    CHECK(part(sender.run(5'000), BulkMethod::raw) < 0.1);
    sender.world.link_bytes_per_ns = 20 * gbit;
    (void)sender.run(5'000);
    CHECK(part(sender.run(5'000), BulkMethod::raw) > 0.8);
    sender.world.link_bytes_per_ns = 0.2 * gbit;
    (void)sender.run(5'000);
    CHECK(part(sender.run(5'000), BulkMethod::raw) < 0.1);
}

TEST_CASE("policy: a slow disk behind a fast link is not helped, and costs little to find out") {
    Sender sender({25 * gbit, 0.1, 0.5, 0.55, 0});
    (void)sender.run(60'000);
    CHECK(part(sender.run(600'000), BulkMethod::raw) > 0.95);
}

TEST_CASE("policy: a reader that is slower than the link is not made slower still") {
    Sender sender({2 * gbit, 10, 20, 0.55, 0});  // 50 MB/s
    (void)sender.run(5'000);
    CHECK(part(sender.run(20'000), BulkMethod::raw) > 0.9);
}

TEST_CASE("policy: a limit counts as a slow link, before anybody waits for a socket") {
    CompressionPolicy policy(both);
    CHECK_FALSE(policy.may_pay(0, 0));
    CHECK(policy.may_pay(12'500'000, 0));
    CHECK(policy.choose(0.5, 12'500'000, 0) == BulkMethod::zstd_dense);
    CHECK(policy.choose(0.5, 125'000'000, 0) != BulkMethod::raw);
    CHECK_FALSE(policy.may_pay(2'000'000'000, 0));
}

TEST_CASE("policy: more is carried than without, and hardly less where nothing is to be gained") {
    for (const double link : {4 * gbit, gbit, 0.3 * gbit}) {
        Sender sender({link, 10, 0.5, 0.55, 0});
        Sender raw({link, 10, 0.5, 0.55, 0}, {});
        (void)sender.run(30'000);
        (void)raw.run(30'000);
        CHECK(sender.sent() > 0.95 * raw.sent());
        if (link <= gbit) CHECK(sender.sent() > 1.4 * raw.sent());
    }
}

TEST_CASE("packer: the operator's wish holds, and never beyond what both sides know") {
    ManualClock clock;
    const Bytes raw = half_random(256U << 10);
    const auto codec = [&](Compression wanted, BulkCodecs codecs) {
        BulkPacker packer(codecs, wanted, clock);
        return packer.pack(raw).codec;
    };
    CHECK(codec(Compression::lz4, both) == FrameCodec::lz4);
    CHECK(codec(Compression::zstd, both) == FrameCodec::zstd);
    CHECK(codec(Compression::none, both) == FrameCodec::raw);
    CHECK(codec(Compression::automatic, both) == FrameCodec::raw);  // nobody waited yet
    CHECK(codec(Compression::zstd, {true, false}) == FrameCodec::raw);
    CHECK(codec(Compression::lz4, {false, true}) == FrameCodec::raw);
    BulkPacker packer(both, Compression::zstd, clock);
    const Bytes incompressible = noise(256U << 10);
    const auto packed = packer.pack(incompressible);
    CHECK(packed.codec == FrameCodec::raw);
    CHECK(packed.payload.data() == incompressible.data());
}

}  // namespace
}  // namespace drover::replicator
