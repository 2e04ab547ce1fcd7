/// Both ends of a job, from the first frame to the proof, with everything that may go wrong
/// between.
#include "replicator/batch_stream.h"
#include "replicator/checkpoint.h"
#include "replicator/pass_plan.h"
#include "replicator/source_connect.h"
#include "tests/replicator/forwarding_device.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <atomic>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

bool in_sync(Lab& lab) {
    return eventually([&] { return lab.recorder.state() == DataState::in_sync; });
}

/// As the executor does after the fence closed.
DrainDone drained(Lab& lab, std::span<const ByteRange> repair = {}) {
    const auto done = lab.source->drain(repair);
    REQUIRE(ok(done));
    return *done;
}

/// What the replica's thread does, in single steps.
struct Stepped {
    explicit Stepped(Lab& lab)
        : lab_(lab) {
        SourceConfig config;
        config.ticket = lab.signed_ticket(1);
        SourceStateKey key;
        key.job = config.ticket.job;
        key.boot_id = "boot-1";
        key.sizes_bytes = config.ticket.sizes_bytes;
        key.tracker_generations = {lab.source_disks[0]->generation};
        key.trackers_resumed = lab.source_disks[0]->attached;
        SourceDisk disk;
        disk.device = std::make_unique<testing::ForwardingDevice>(lab.source_disks[0]->disk);
        disk.tracker = std::make_unique<testing::MarkingTracker>(*lab.source_disks[0]);
        config.disks.push_back(std::move(disk));
        config.boot_id = "boot-1";
        auto state = SourceState::open(lab.directory.path() / "source", key, random_.uuid());
        REQUIRE(ok(state));
        job = std::make_unique<SourceJob>(std::move(config), std::move(*state), lab.recorder,
                                          clock_, random_);
    }

    void connect() {
        links = *lab_.dial();
        control.emplace(*links.control, 5'000);
        Wishes::Attachment attached(job->wishes, *links.control, *links.bulk);
        auto mirrored = connect_to_target(*job, *control, links, attached);
        REQUIRE(ok(mirrored));
        lanes = std::make_unique<SourceLanes>(testing::bulk_lanes(links));
        stream.emplace(*lanes, *control, job->state, std::move(*mirrored));
    }

    /// Takes everything dirty into the open batch.
    Region take_dirty() {
        return take_region(job->tracker(0).dirty(), job->state.pending(0, stream->open_batch()), 0,
                           job->size(0), block_bytes);
    }

    /// And reads and sends it.
    void send_dirty() {
        for (const Extent& extent : take_dirty().extents) {
            Bytes data(extent.length);
            REQUIRE(ok(job->device(0).read(extent.offset, data)));
            REQUIRE(ok(stream->send(0, extent.offset, data)));
        }
    }

    Lab& lab_;
    SystemClock clock_;
    SystemRandom random_;
    std::unique_ptr<SourceJob> job;
    PeerLinks links;
    std::optional<PeerChannel> control;
    std::unique_ptr<SourceLanes> lanes;
    std::optional<BatchStream> stream;
};

TEST_CASE("mirror: a blank target ends up equal, on every disk") {
    Lab lab({5 * mib, 3 * mib + 777});
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.mirrors().size() == 1);
    CHECK(lab.recorder.last().bytes_sent_mirror == 8 * mib + 777);
    CHECK(lab.recorder.gone().empty());
    CHECK(in_sync(lab));
}

TEST_CASE("mirror: zero blocks are not sent as data, but arrive") {
    Lab lab({8 * mib});
    Bytes& source = lab.source_disks[0]->disk.contents();
    std::fill(source.begin() + mib, source.begin() + 7 * mib, std::uint8_t{0});
    std::fill(lab.target_disks[0]->contents().begin(), lab.target_disks[0]->contents().end(),
              std::uint8_t{0xee});
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    const Progress progress = lab.recorder.last();
    CHECK(progress.bytes_sent_mirror == 2 * mib);
    CHECK(progress.bytes_zero_skipped == 6 * mib);
}

TEST_CASE("sync: only what changed is sent") {
    Lab lab({16 * mib});
    lab.mirror();
    drained(lab);
    for (const std::uint64_t block : {3U, 4U, 2000U}) lab.source_disks[0]->write_block(block, 0xaa);
    CHECK(lab.source->backlog_bytes() <= 3 * block_bytes);
    const DrainDone done = drained(lab);
    CHECK(done.bytes <= 3 * block_bytes);
    CHECK(lab.differing_bytes() == 0);
    REQUIRE(eventually([&] { return lab.recorder.last().bytes_sent_sync == 3 * block_bytes; }));
    CHECK(lab.recorder.last().bytes_changed == 3 * block_bytes);
}

TEST_CASE("sync: with the scan tracker too only changed chunks are sent") {
    Lab lab({16 * mib}, false);
    lab.mirror();
    drained(lab);
    REQUIRE(ok(lab.source_disks[0]->disk.write(5 * mib + 512, Bytes(512, 0xaa))));
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    REQUIRE(eventually([&] { return lab.recorder.last().bytes_sent_sync == 64U << 10; }));
}

TEST_CASE("resume: a cut connection goes on where the target was durable") {
    Lab lab({100 * mib});
    // One-MiB frames after a hello: batches of 64 and 36.
    const std::uint64_t frames = GENERATE(1U, 2U, 64U, 65U, 66U, 100U);
    lab.cut_bulk_after_frames = frames;
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    const Progress progress = lab.recorder.last();
    CHECK(lab.dials() == 2);
    // What was durable when the connection was cut did not go again.
    CHECK(progress.bytes_sent_mirror >= 100 * mib);
    CHECK(progress.bytes_sent_mirror <= 100 * mib + batch_bytes_max);
    CHECK(progress.bytes_resumed == (frames > 64 ? 64 * mib : 0));
    CHECK(progress.bytes_sent_mirror + progress.bytes_resumed <= 100 * mib + 100 * mib);
}

TEST_CASE("resume: a control link cut at any point loses nothing") {
    Lab lab({70 * mib});
    lab.cut_control_after_frames = GENERATE(1U, 2U, 3U);
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 2);
}

TEST_CASE("resume: a killed source goes on with what was durable") {
    Lab lab({150 * mib});
    lab.limits.rate_bytes_per_s = 400 * mib;
    lab.start_target();
    lab.start_source();
    REQUIRE(eventually([&] { return lab.target->progress().batch >= 2; }));
    lab.kill_source();
    const std::uint64_t durable = lab.target->progress().batch;
    lab.source_disks[0]->write_block(1, 0x11);  // the tracker lives on without the agent
    lab.limits.rate_bytes_per_s = 0;
    lab.start_source();
    REQUIRE(eventually([&] { return !lab.recorder.mirrors().empty(); }));
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(durable >= 2);
    CHECK(lab.recorder.last().bytes_resumed >= mib);
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("resume: a finished mirror is reported again after a restart, and not sent again") {
    Lab lab({20 * mib});
    lab.mirror();
    drained(lab);
    const Generation generation = lab.recorder.mirrors()[0].generation;
    lab.kill_source();
    lab.start_source();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    CHECK(lab.recorder.mirrors()[1].generation == generation);
    CHECK(drained(lab).bytes == 0);
    CHECK(lab.recorder.last().bytes_sent_mirror == 20 * mib);
}

TEST_CASE("resume: the scan tracker's state outlives its agent") {
    Lab lab({8 * mib}, false);
    lab.mirror();
    drained(lab);
    lab.kill_source();
    REQUIRE(ok(lab.source_disks[0]->disk.write(0, Bytes(4096, 1))));
    lab.start_source();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().bytes_sent_mirror == 8 * mib);
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("rescan: after a reboot of the source only what differs is sent") {
    Lab lab({40 * mib});
    lab.mirror();
    drained(lab);
    const Generation before = lab.recorder.mirrors()[0].generation;
    lab.kill_source();
    // A reboot: the kernel's map is gone and writes went unseen.
    lab.source_disks[0]->attached = false;
    lab.boot_id = "boot-2";
    std::fill(lab.source_disks[0]->words.begin(), lab.source_disks[0]->words.end(), 0);
    REQUIRE(ok(lab.source_disks[0]->disk.write(9 * mib, Bytes(4096, 0x77))));
    lab.start_source();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    CHECK(lab.recorder.mirrors()[1].generation != before);
    CHECK(lab.recorder.gone().size() == 1);
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().bytes_sent_sync == 64U << 10);
    const auto states = lab.recorder.states();
    CHECK(std::find(states.begin(), states.end(), DataState::rescanning) != states.end());
}

TEST_CASE("rescan: a lost audit compares that disk and repairs what was missed") {
    Lab lab({10 * mib, 4 * mib});
    lab.mirror();
    drained(lab);
    // A write whose event never reached the map.
    REQUIRE(ok(lab.source_disks[0]->disk.write(2 * mib, Bytes(4096, 0x55))));
    lab.source_disks[0]->verdict = Audit::Verdict::lost;
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    REQUIRE(lab.recorder.gone().size() == 1);
    CHECK(lab.recorder.gone()[0].disk == 0);
    CHECK(lab.recorder.last().tracker_losses == 1);
}

TEST_CASE("rescan: a target that lost its checkpoint is written as a whole again") {
    Lab lab({4 * mib});
    lab.mirror();
    drained(lab);
    lab.kill_target();
    std::filesystem::remove_all(lab.directory.path() / "target");
    lab.start_target();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.gone().size() == 1);
}

TEST_CASE("faults: a failed flush acknowledges nothing, and everything is sent again") {
    Lab lab({70 * mib});
    lab.target_disks[0]->fail_flush_in(GENERATE(1U, 2U));
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 2);
}

TEST_CASE("faults: a failed write on the target is shown and retried") {
    Lab lab({4 * mib});
    lab.target_disks[0]->fail_write_in(2);
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    const auto states = lab.recorder.states();
    CHECK(std::find(states.begin(), states.end(), DataState::stalled) != states.end());
}

TEST_CASE("faults: a checkpoint that cannot be written acknowledges nothing and heals by itself") {
    Lab lab({4 * mib});
    lab.mirror();
    drained(lab);
    const auto obstacle = lab.directory.path() / "target" / "checkpoint.new";
    std::filesystem::create_directory(obstacle);
    const std::uint64_t batch = lab.target->progress().batch;
    lab.source_disks[0]->write_block(7, 3);
    REQUIRE(eventually([&] { return lab.recorder.state() == DataState::stalled; }));
    CHECK(lab.target->progress().batch == batch);
    CHECK(lab.source->backlog_bytes() == block_bytes);
    std::filesystem::remove(obstacle);
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("faults: a checkpoint that was renamed but not known to be durable names its own batch") {
    // The file holds the attempt that failed; a later one under the same number held more.
    Lab lab({mib});
    lab.start_target();
    Stepped source(lab);
    source.connect();
    source.send_dirty();
    source.stream->set_mirrored_upto(0, mib);
    REQUIRE(ok(source.stream->finish()));
    const auto directory = lab.directory.path() / "target";
    auto checkpoint = read_checkpoint(directory);
    REQUIRE(ok(checkpoint));
    std::filesystem::create_directory(directory / "checkpoint.new");
    lab.source_disks[0]->write_block(5, 1);
    source.send_dirty();
    REQUIRE(ok(source.stream->commit()));
    REQUIRE_FALSE(ok(source.control->receive()));
    std::filesystem::remove(directory / "checkpoint.new");
    (*checkpoint)->batch += 1;
    REQUIRE(ok(write_checkpoint(directory, **checkpoint)));
    source.connect();
    CHECK(source.job->state.acked_batch() == (*checkpoint)->batch);
    CHECK(source.stream->open_batch() == (*checkpoint)->batch + 1);
}

TEST_CASE("faults: an unreadable range of the source is never called synchronised") {
    Lab lab({4 * mib});
    lab.mirror();
    drained(lab);
    lab.source_disks[0]->disk.fail_read_in(1);
    lab.source_disks[0]->write_block(7, 3);
    REQUIRE(eventually([&] {
        const auto states = lab.recorder.states();
        return std::find(states.begin(), states.end(), DataState::stalled) != states.end();
    }));
    // The fault has passed: the block was still marked.
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("faults: power loss on the target between acknowledgements loses nothing acknowledged") {
    Lab lab({150 * mib});
    lab.start_target();
    lab.limits.rate_bytes_per_s = 300 * mib;
    lab.start_source();
    for (int round = 0; round < 3; ++round) {
        const std::uint64_t before = lab.target->progress().batch;
        lab.source_disks[0]->write_block(static_cast<std::uint64_t>(round) * 1000, 0x42);
        REQUIRE(eventually([&] { return lab.target->progress().batch > before; }));
        lab.kill_target();
        lab.target_disks[0]->lose_power();
        lab.start_target();
    }
    REQUIRE(eventually([&] { return !lab.recorder.mirrors().empty(); }));
    drained(lab);
    lab.kill_target();
    lab.target_disks[0]->lose_power();
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("faults: a frame damaged on its way is refused and sent again") {
    Lab lab({20 * mib});
    lab.flip_bulk_frame_in = 7;
    lab.mirror();
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.dials() == 2);
}

TEST_CASE(
    "a block taken again while its first batch is in flight survives a target that dies before "
    "the second commit") {
    Lab lab({mib});
    lab.start_target();
    Stepped source(lab);
    source.connect();
    source.send_dirty();
    source.stream->set_mirrored_upto(0, mib);
    REQUIRE(ok(source.stream->finish()));
    source.job->state.set_phase(0, CopyPhase::tracked);
    REQUIRE(lab.differing_bytes() == 0);

    lab.source_disks[0]->write_block(5, 1);
    source.send_dirty();
    REQUIRE(ok(source.stream->commit()));  // batch k is in flight
    lab.source_disks[0]->write_block(5, 2);
    CHECK(source.take_dirty().bytes == block_bytes);  // into batch k+1
    REQUIRE(ok(source.stream->await_ack()));          // of batch k: clears its map only
    lab.kill_target();
    lab.target_disks[0]->lose_power();
    REQUIRE(lab.differing_bytes() > 0);

    lab.start_target();
    source.connect();
    CHECK(source.job->tracker(0).dirty().test(5));
    source.send_dirty();
    REQUIRE(ok(source.stream->finish()));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE(
    "resume: a batch that was durable although its acknowledgement was lost is not sent again") {
    Lab lab({mib});
    lab.start_target();
    Stepped source(lab);
    source.connect();
    source.send_dirty();
    source.stream->set_mirrored_upto(0, mib);
    REQUIRE(ok(source.stream->commit()));
    REQUIRE(ok(source.control->receive()));  // durable there, not noted here
    source.links.control->abort();
    source.connect();
    CHECK(source.job->state.acked_batch() == 1);
    CHECK(source.job->tracker(0).dirty().count() == 0);
    CHECK(source.job->state.phase(0) == CopyPhase::tracked);
}

TEST_CASE("live: a writer during mirror and sync, then stopped, leaves no byte behind") {
    const bool tracking = GENERATE(true, false);
    Lab lab({48 * mib}, tracking);
    std::atomic<bool> stop = false;
    std::thread writer([&] {
        SeededRandom random(7);
        while (!stop) {
            const std::uint64_t block = random.below(48 * mib / block_bytes);
            lab.source_disks[0]->write_block(block, static_cast<std::uint8_t>(random.below(256)));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    lab.mirror();
    const std::uint64_t passes = lab.recorder.last().passes;
    const bool synced = eventually([&] { return lab.recorder.last().passes >= passes + 5; });
    stop = true;
    writer.join();
    REQUIRE(synced);
    drained(lab);
    CHECK(lab.differing_bytes() == 0);
    const auto verified = lab.source->verify();
    REQUIRE(ok(verified));
    CHECK(verified->mismatches.empty());
}

/// Notes how many reads at a time it is asked for.
class DepthDisk final : public testing::ForwardingDevice {
  public:
    DepthDisk(MemoryDevice& disk, std::atomic<unsigned>& depth, std::atomic<bool>& was_full)
        : ForwardingDevice(disk),
          depth_(depth),
          was_full_(was_full) {}

    void limit_depth(unsigned depth) override {
        depth_ = depth;
        if (depth >= 64) was_full_ = true;
    }

  private:
    std::atomic<unsigned>& depth_;
    std::atomic<bool>& was_full_;
};

TEST_CASE("source: in sync it reads few blocks at a time, in a drain as many as it can") {
    std::atomic<unsigned> depth = 0;
    std::atomic<bool> was_full = false;
    Lab lab({mib});
    lab.open_source_disk = [&](std::size_t i) {
        return std::make_unique<DepthDisk>(lab.source_disks[i]->disk, depth, was_full);
    };
    lab.mirror();
    CHECK(was_full);
    REQUIRE(in_sync(lab));
    REQUIRE(eventually([&] { return depth <= 8; }));
    was_full = false;
    (void)drained(lab);
    CHECK(was_full);
    lab.kill_source();
}

}  // namespace
}  // namespace drover::replicator
