/// A source that a test plays by hand over real links to a real target, and what it meddles with.
#pragma once

#include "replicator/batch_digest.h"
#include "replicator/bulk_codec.h"
#include "replicator/bulk_lanes.h"
#include "replicator/peer_codec.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <utility>

namespace drover::replicator::testing {

/// Passes everything on, and lets a test look and meddle.
class Meddler final : public wire::Link {
  public:
    explicit Meddler(std::unique_ptr<wire::Link> link)
        : link_(std::move(link)) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        if (on_send) on_send(head);
        return link_->send(head, body);
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        auto bytes = link_->receive(timeout_ms);
        if (bytes && on_receive) on_receive(*bytes);
        return bytes;
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

    std::function<void(ByteView)> on_send;
    std::function<void(Bytes&)> on_receive;

  private:
    std::unique_ptr<wire::Link> link_;
};

inline Meddler& meddle(std::unique_ptr<wire::Link>& link) {
    auto meddler = std::make_unique<Meddler>(std::move(link));
    Meddler& inside = *meddler;
    link = std::move(meddler);
    return inside;
}

class HandSource {
  public:
    /// Asks for so many lanes, and opens those that it is given, or only the first.
    explicit HandSource(Lab& lab, std::vector<std::string> capabilities, unsigned lanes = 1,
                        bool opens_all = true)
        : links_(*lab.dial()) {
        PeerHello hello;
        hello.ticket = lab.signed_ticket(lab.serial);
        hello.generation.data.fill(9);
        hello.boot_id = "boot-1";
        hello.capabilities = std::move(capabilities);
        hello.lanes = static_cast<std::uint8_t>(lanes);
        generation_ = hello.generation;
        REQUIRE(ok(links_.control->send(encode(SourceMessage(hello)))));
        const auto answer = hear();
        REQUIRE(ok(answer));
        welcome_ = std::get<PeerWelcome>(*answer);
        digest_ = BatchDigest(welcome_.lanes == 1);
        bulk_ = {welcome_.session_id, hello.ticket, 0, welcome_.lanes};
        batch_ = welcome_.checkpoint.batch + 1;
        REQUIRE(ok(links_.bulk->send(encode(bulk_))));
        for (unsigned lane = 1; opens_all && lane < welcome_.lanes; ++lane) open_lane(lane);
    }

    /// One more bulk link, that says to be this one.
    wire::Link& open_lane(unsigned lane) {
        auto link = links_.dial_bulk();
        REQUIRE(ok(link));
        bulk_.lane = static_cast<std::uint8_t>(lane);
        REQUIRE(ok((*link)->send(encode(bulk_))));
        return *links_.more_bulk.emplace_back(std::move(*link));
    }

    [[nodiscard]] FrameHeader header(std::uint64_t offset, const Bytes& raw) const {
        FrameHeader header;
        header.batch = batch_;
        header.offset = offset;
        header.raw_length = header.stored_length = static_cast<std::uint32_t>(raw.size());
        header.digest = digest_of(raw);
        return header;
    }

    /// Sends in the lane where it belongs, and counts it as a source would.
    void send(const FrameHeader& header, ByteView payload) {
        count(header);
        // A target that has refused something takes no more: that is not the test's concern.
        (void)bulk(lane_of(header.disk, header.offset, welcome_.lanes))
            .send(encode_frame_header(header), payload);
    }

    void count(const FrameHeader& header) {
        ++frames_;
        digest_.add(encode_frame_header(header));
    }

    void commit() {
        commit(std::exchange(frames_, 0), digest_.digest());
        digest_.reset();
    }

    void commit(std::uint64_t frames, const Digest& digest) {
        Commit commit;
        commit.batch = batch_++;
        commit.frames = frames;
        commit.digest = digest;
        commit.mirrored_upto = {0};
        commit.generation = generation_;
        (void)links_.control->send(encode(SourceMessage(commit)));
    }

    [[nodiscard]] Result<TargetMessage> hear() {
        TRY(const Bytes bytes, links_.control->receive(patience_ms));
        return decode_target_message(bytes);
    }

    /// The id of what the target refuses with; "committed" if it does not.
    [[nodiscard]] std::string fate() {
        for (;;) {
            const auto message = hear();
            if (!message) return message.error().id();
            if (std::holds_alternative<Committed>(*message)) return "committed";
            if (const auto* refused = std::get_if<PeerRefused>(&*message))
                return refused->error.id();
        }
    }

    [[nodiscard]] wire::Link& bulk(unsigned lane = 0) {
        return lane == 0 ? *links_.bulk : *links_.more_bulk.at(lane - 1);
    }

    [[nodiscard]] PeerLinks& links() { return links_; }

    [[nodiscard]] const PeerWelcome& welcome() const { return welcome_; }

    [[nodiscard]] std::uint64_t batch() const { return batch_; }

  private:
    static constexpr std::int64_t patience_ms = 10'000;

    PeerLinks links_;
    PeerWelcome welcome_;
    BulkHello bulk_;
    Generation generation_;
    std::uint64_t batch_ = 1;
    std::uint64_t frames_ = 0;
    BatchDigest digest_{true};
};

inline const std::vector<std::string> all_names{"bulk.raw",     "bulk.zero",     "mode.direct",
                                                lz4_capability, zstd_capability, lanes_capability};

/// After anything that was refused: nothing of it is durable, and an honest source ends up equal.
inline void check_recovers(Lab& lab, std::uint64_t batch) {
    CHECK(lab.target->progress().batch == batch);
    lab.start_source();
    REQUIRE(eventually([&] { return !lab.recorder.mirrors().empty(); }));
    REQUIRE(eventually([&] { return lab.source->drain({}).has_value(); }));
    CHECK(lab.differing_bytes() == 0);
}

/// A disk that does not answer until it is told to.
class StuckDevice final : public ForwardingDevice {
  public:
    struct Valve {
        std::mutex mutex;
        std::condition_variable changed;
        bool is_open = false;
        int waiting = 0;
        int written = 0;
    };

    StuckDevice(MemoryDevice& disk, Valve& valve)
        : ForwardingDevice(disk),
          valve_(valve) {}

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        std::unique_lock lock(valve_.mutex);
        ++valve_.waiting;
        valve_.changed.notify_all();
        valve_.changed.wait(lock, [this] { return valve_.is_open; });
        --valve_.waiting;
        ++valve_.written;
        return disk_.write(offset, data);
    }

  private:
    Valve& valve_;
};

}  // namespace drover::replicator::testing
