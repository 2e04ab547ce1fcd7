/// Several bulk connections in one session: what keeps its order, what waits, what is refused.
#include "replicator/target_lanes.h"
#include "tests/replicator/hand_source.h"

#include <algorithm>
#include <array>

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

std::optional<JournalPlace> journal_or_none(const Lab& lab, bool wanted) {
    if (!wanted) return {};
    JournalPlace place;
    place.directory = lab.directory.path();
    place.redo_bytes = 16 * mib;
    place.undo_bytes = 16 * mib;
    return place;
}

/// Keeps the frames of one link until it is opened.
class Gate {
  public:
    void hold(std::unique_ptr<wire::Link>& link) {
        meddle(link).on_send = [this](ByteView) {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return is_open_; });
        };
    }

    void open() {
        const std::lock_guard lock(mutex_);
        is_open_ = true;
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool is_open_ = false;
};

/// How many data frames went over each link, the first one included.
struct Traffic {
    std::mutex mutex;
    std::vector<int> frames;

    void watch(std::unique_ptr<wire::Link>& link) {
        const std::lock_guard lock(mutex);
        frames.push_back(0);
        meddle(link).on_send = [this, at = frames.size() - 1](ByteView head) {
            const std::lock_guard counting(mutex);
            if (head.size() == frame_header_bytes) ++frames.at(at);
        };
    }

    void watch(PeerLinks& links) {
        watch(links.bulk);
        links.dial_bulk = [this, dial = links.dial_bulk]() -> Result<std::unique_ptr<wire::Link>> {
            TRY(auto link, dial());
            watch(link);
            return link;
        };
    }
};

// ---- a whole source ----

TEST_CASE("lanes: over any number of them both disks end up equal, and each carries its part") {
    const unsigned streams = GENERATE(1U, 2U, 4U, 8U);
    const bool keeps_journal = GENERATE(false, true);
    Lab lab({19 * mib + 4096, 3 * mib + 777});
    lab.streams = streams;
    lab.journal = journal_or_none(lab, keeps_journal);
    lab.compression = streams == 4 ? Compression::lz4 : Compression::none;
    Traffic traffic;
    lab.wrap_links = [&](PeerLinks& links) { traffic.watch(links); };
    lab.mirror();
    for (unsigned round = 0; round < 3; ++round) {
        for (unsigned block = 0; block < 300; ++block)
            lab.source_disks[0]->write_block(block * 16, static_cast<std::uint8_t>(block + round));
        REQUIRE(ok(lab.source->drain({})));
        CHECK(lab.differing_bytes() == 0);
    }
    CHECK(ok(lab.source->verify()));
    CHECK(lab.dials() == 1);
    const Progress told = lab.recorder.last();
    const bool is_packed = lab.compression != Compression::none;
    CHECK((told.bytes_on_wire < told.bytes_sent_mirror) == is_packed);
    CHECK(told.bytes_on_wire > 0);
    REQUIRE(traffic.frames.size() == streams);
    CHECK(std::ranges::min(traffic.frames) > 0);
}

TEST_CASE("lanes: batches that follow each other closely go to the target one by one") {
    Lab lab({40 * mib, 9 * mib});
    lab.streams = 3;
    lab.batch_bytes = 1;
    lab.journal = journal_or_none(lab, GENERATE(false, true));
    lab.mirror();
    for (std::uint64_t block = 0; block < 49 * 256; block += 8)
        lab.source_disks[block < 40 * 256 ? 0 : 1]->write_block(block % (40 * 256), 0x77);
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.target->progress().batch >= (40 + 9) / 4);
    CHECK(lab.dials() == 1);
}

TEST_CASE("lanes: when one of them breaks, all are dialled again and the copy goes on") {
    Lab lab({24 * mib});
    lab.streams = 3;
    lab.batch_bytes = GENERATE(batch_bytes_max, std::uint64_t{1});
    lab.journal = journal_or_none(lab, GENERATE(false, true));
    const unsigned broken = GENERATE(1U, 2U);
    std::atomic<bool> is_broken = false;
    lab.wrap_links = [&](PeerLinks& links) {
        links.dial_bulk = [&, dial = links.dial_bulk,
                           lane = 0U]() mutable -> Result<std::unique_ptr<wire::Link>> {
            TRY(auto link, dial());
            if (++lane != broken) return link;
            auto& meddler = meddle(link);
            meddler.on_send = [&, own = &meddler, frames = 0](ByteView) mutable {
                if (++frames == 4 && !is_broken.exchange(true)) own->abort();
            };
            return link;
        };
    };
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(is_broken);
    CHECK(lab.dials() == 2);
    CHECK(lab.differing_bytes() == 0);
}

/// What a target of an earlier version sees and says.
class WithoutLanes final : public wire::Link {
  public:
    explicit WithoutLanes(std::unique_ptr<wire::Link> link)
        : link_(std::move(link)) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        auto message = decode_source_message(head);
        auto* hello = message ? std::get_if<PeerHello>(&*message) : nullptr;
        if (hello == nullptr) return link_->send(head, body);
        std::erase(hello->capabilities, lanes_capability);
        hello->lanes = 1;
        return link_->send(encode(*message));
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        TRY(Bytes bytes, link_->receive(timeout_ms));
        auto message = decode_target_message(bytes);
        auto* welcome = message ? std::get_if<PeerWelcome>(&*message) : nullptr;
        if (welcome == nullptr) return bytes;
        std::erase(welcome->capabilities, lanes_capability);
        welcome->lanes = 1;
        return encode(*message);
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    std::unique_ptr<wire::Link> link_;
};

TEST_CASE("lanes: a target of an earlier version gets one, and the digest that it knows") {
    Lab lab({5 * mib});
    lab.streams = 4;
    Traffic traffic;
    lab.wrap_links = [&](PeerLinks& links) {
        traffic.watch(links);
        links.control = std::make_unique<WithoutLanes>(std::move(links.control));
    };
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 1);
    CHECK(traffic.frames.size() == 1);
}

TEST_CASE("lanes: a source of an earlier version, which names no lanes, is given one") {
    Lab lab({mib});
    lab.start_target();
    std::vector<std::string> names = all_names;
    std::erase(names, lanes_capability);
    HandSource source(lab, names, 4);
    CHECK(source.welcome().lanes == 1);
    const Bytes raw(4096, 0x11);
    source.send(source.header(0, raw), raw);
    source.send(source.header(8192, raw), raw);
    source.commit();
    CHECK(source.fate() == "committed");
}

// ---- order ----

TEST_CASE("lanes: what is sent twice in a batch ends as it was sent last, however slow a lane is") {
    Lab lab({4 * mib});
    lab.journal = journal_or_none(lab, GENERATE(false, true));
    lab.start_target();
    HandSource source(lab, all_names, 2);
    Gate gate;
    gate.hold(source.links().bulk);
    SourceLanes lanes(testing::bulk_lanes(source.links()));
    const auto send = [&](std::uint64_t offset, std::size_t length, std::uint8_t value) {
        FrameHeader header;
        header.batch = source.batch();
        header.offset = offset;
        REQUIRE(ok(lanes.send(header, Bytes(length, value))));
    };
    SECTION("a block") {
        send(0, 4096, 1);
        send(0, 4096, 2);
        send(mib, 4096, 2);
    }
    SECTION("a run over the end of a stripe, and then a part of it") {
        send(mib - 4096, 8192, 1);
        send(mib, 4096, 2);
        send(mib - 4096, 4096, 2);
    }
    // All that the other lane has is there before the slow one brings anything.
    REQUIRE(eventually([&] { return lab.target->progress().bytes_written >= 4096; }));
    gate.open();
    REQUIRE(ok(lanes.settle()));
    const SentFrames frames = lanes.take_frames();
    source.commit(frames.count, frames.digest.digest());
    REQUIRE(source.fate() == "committed");
    const Bytes& disk = lab.target_disks[0]->contents();
    CHECK(std::ranges::count(disk, 1) == 0);
    CHECK(std::ranges::count(disk, 2) == 8192);
}

TEST_CASE("lanes: a frame waits for the rest of the batch before its own, in whatever lane") {
    Lab lab({4 * mib});
    lab.journal = journal_or_none(lab, GENERATE(false, true));
    lab.start_target();
    HandSource source(lab, all_names, 2);
    const Bytes first(4096, 0x11);
    const Bytes second(4096, 0x22);
    const Bytes third(4096, 0x33);
    const auto written = [&] { return lab.target->progress().bytes_written; };
    const FrameHeader late = source.header(0, first);
    source.count(late);
    source.send(source.header(mib, second), second);
    REQUIRE(eventually([&] { return written() == 4096; }));
    const bool is_before_commit = GENERATE(false, true);
    if (!is_before_commit) source.commit();
    FrameHeader overtaking = source.header(mib, third);
    if (is_before_commit) ++overtaking.batch;
    (void)source.bulk(1).send(encode_frame_header(overtaking), third);
    CHECK_FALSE(testing::within(50, [&] { return written() > 4096; }));
    if (is_before_commit) source.commit();
    (void)source.bulk(0).send(encode_frame_header(late), first);
    REQUIRE(source.fate() == "committed");
    source.count(overtaking);
    source.commit();
    REQUIRE(source.fate() == "committed");
    CHECK(lab.target_disks[0]->contents()[0] == 0x11);
    CHECK(lab.target_disks[0]->contents()[mib] == 0x33);
}

TEST_CASE("lanes: no frame is taken before every lane is there") {
    Lab lab({4 * mib});
    lab.start_target();
    HandSource source(lab, all_names, 3, false);
    const Bytes raw(4096, 0x11);
    source.send(source.header(0, raw), raw);
    source.open_lane(2);
    const auto written = [&] { return lab.target->progress().bytes_written; };
    CHECK_FALSE(testing::within(50, [&] { return written() > 0; }));
    source.open_lane(1);
    source.commit();
    CHECK(source.fate() == "committed");
}

TEST_CASE("lanes: those that came do not wait for ever for one that does not") {
    std::mutex mutex;
    std::string failed;
    std::atomic<int> ended = 0;
    TargetLanes lanes(3,
                      {[](unsigned, ByteView) -> Result<> { return {}; },
                       [](unsigned) { return false; }, [](unsigned) -> Result<> { return {}; },
                       [&](const Error& error) {
                           const std::lock_guard lock(mutex);
                           failed = error.id();
                       },
                       [&] { ++ended; }},
                      20);
    auto first = wire::make_memory_links();
    auto second = wire::make_memory_links();
    lanes.add({{}, {}, 0, 3}, std::move(first.second));
    lanes.add({{}, {}, 2, 3}, std::move(second.second));
    CHECK(eventually([&] { return ended == 2; }));
    lanes.abort();
    lanes.join();
    CHECK(failed == "lanes_missing");
}

// ---- what is refused ----

TEST_CASE("lanes: a frame in a lane where it does not belong ends the session") {
    Lab lab({4 * mib});
    lab.start_target();
    HandSource source(lab, all_names, 2);
    const Bytes raw(8192, 0x11);
    const FrameHeader header = source.header(0, raw);
    SECTION("sent there alone") {
        (void)source.bulk(1).send(encode_frame_header(header), raw);
    }
    SECTION("played again there") {
        source.send(header, raw);
        (void)source.bulk(1).send(encode_frame_header(header), raw);
    }
    SECTION("over the end of its stripe") {
        source.send(source.header(mib - 4096, raw), raw);
    }
    CHECK(source.fate() == "bad_frame");
    check_recovers(lab, 0);
}

TEST_CASE("lanes: a batch is what its COMMIT names, whichever lane brought it") {
    Lab lab({4 * mib});
    lab.start_target();
    HandSource source(lab, all_names, 2);
    const Bytes raw(4096, 0x11);
    const FrameHeader header = source.header(0, raw);
    source.send(header, raw);
    SECTION("a frame that came twice in its lane") {
        (void)source.bulk().send(encode_frame_header(header), raw);
        source.send(source.header(4096, raw), raw);
    }
    SECTION("a frame in place of another") {
        (void)source.bulk(1).send(encode_frame_header(source.header(mib, raw)), raw);
        source.count(source.header(3 * mib, raw));
    }
    source.commit();
    CHECK(source.fate() == "bad_message");
    check_recovers(lab, 0);
}

TEST_CASE("lanes: there are never more than the target gives, and each of them once") {
    Lab lab({16 * mib});
    lab.start_target();
    HandSource source(lab, all_names, 200);
    REQUIRE(source.welcome().lanes == lanes_max);
    const Bytes raw(4096, 0x11);
    const auto send_batch = [&] {
        for (std::uint64_t at = 0; at < 16; ++at) source.send(source.header(at * mib, raw), raw);
        source.commit();
        return source.fate();
    };
    REQUIRE(send_batch() == "committed");
    for (const unsigned lane : {0U, 7U, 8U, 255U}) {
        const auto heard = source.open_lane(lane).receive(10'000);
        REQUIRE_FALSE(ok(heard));
        CHECK(heard.error().id() == "link_closed");
    }
    CHECK(send_batch() == "committed");
}

// ---- nobody may take more memory than is said ----

/// Two lanes, of which nobody reads the first.
struct StuckLane {
    /// The link holds one frame, the lane's thread is in the second, one load waits.
    static constexpr int takes = 3;

    [[nodiscard]] std::vector<BulkLane> lanes() const {
        std::vector<BulkLane> out;
        out.push_back({*stuck.first});
        out.push_back({*other.first});
        return out;
    }

    [[nodiscard]] static bool send(SourceLanes& lanes, int number) {
        FrameHeader header;
        header.offset = 2 * static_cast<std::uint64_t>(number) * lane_stripe_bytes;
        return lanes.send(header, Bytes(SourceLanes::load_bytes_max, 5)).has_value();
    }

    std::pair<std::unique_ptr<wire::Link>, std::unique_ptr<wire::Link>> stuck =
        wire::make_memory_links({.queued_bytes_max = 1});
    std::pair<std::unique_ptr<wire::Link>, std::unique_ptr<wire::Link>> other =
        wire::make_memory_links();
};

TEST_CASE("lanes: a lane that nobody reads holds two loads at the source, then the sender waits") {
    StuckLane links;
    SourceLanes lanes(links.lanes());
    std::atomic<int> taken = 0;
    std::thread sender([&] {
        while (StuckLane::send(lanes, taken)) ++taken;
    });
    CHECK(eventually([&] { return taken == StuckLane::takes; }));
    CHECK_FALSE(testing::within(100, [&] { return taken > StuckLane::takes; }));
    links.stuck.second->abort();
    sender.join();
    CHECK_FALSE(ok(lanes.settle()));
}

TEST_CASE("lanes: they end at once with data that nobody takes") {
    StuckLane links;
    SourceLanes lanes(links.lanes());
    for (int i = 0; i < StuckLane::takes; ++i) REQUIRE(StuckLane::send(lanes, i));
}

TEST_CASE("lanes: a target whose disk is stuck holds one frame of each") {
    constexpr unsigned count = 4;
    Lab lab({32 * mib});
    StuckDevice::Valve valve;
    lab.open_target_disk = [&](std::size_t i) {
        return std::make_unique<StuckDevice>(*lab.target_disks[i], valve);
    };
    lab.start_target();
    HandSource source(lab, all_names, count);
    const Bytes raw(mib, 0x44);
    std::atomic<int> taken = 0;
    std::array<std::thread, count> senders;
    for (unsigned lane = 0; lane < count; ++lane)
        senders.at(lane) = std::thread([&, lane] {
            for (std::uint64_t i = 0; i < 8; ++i) {
                const FrameHeader header = source.header((i * count + lane) * mib, raw);
                (void)source.bulk(lane).send(encode_frame_header(header), raw);
                ++taken;
            }
        });
    {
        std::unique_lock lock(valve.mutex);
        valve.changed.wait(lock, [&] { return valve.waiting == count; });
    }
    // One at the disk, and what each link of the lab holds by itself: less than 2 MiB.
    REQUIRE(eventually([&] { return taken == 2 * count; }));
    CHECK_FALSE(testing::within(100, [&] { return taken > static_cast<int>(2 * count); }));
    {
        const std::lock_guard lock(valve.mutex);
        CHECK(valve.waiting == count);
        valve.is_open = true;
        valve.changed.notify_all();
    }
    for (std::thread& sender : senders) sender.join();
    for (std::uint64_t i = 0; i < 32; ++i) source.count(source.header(i * mib, raw));
    source.commit();
    CHECK(source.fate() == "committed");
}

}  // namespace
}  // namespace drover::replicator
