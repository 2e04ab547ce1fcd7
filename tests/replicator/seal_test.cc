// Points that are asked for, with a freezer that stops the test's own writer.
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <functional>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::int64_t patience_ms = 10'000;

/// A source that is written all the time, but while it is frozen.
class SealLab : public Lab {
  public:
    explicit SealLab(std::vector<std::uint64_t> sizes_bytes)
        : Lab(std::move(sizes_bytes)) {
        journal = JournalPlace{journals_.path(), 96 * mib, 96 * mib, 8};
    }

    ~SealLab() {
        rest();
        kill_source();
        kill_target();
    }

    void begin() {
        mirror();
        REQUIRE(eventually([&] { return !target->progress().points.empty(); }));
        writer_ = std::thread([this] { write_on(); });
    }

    void rest() {
        stopped_ = true;
        if (writer_.joinable()) writer_.join();
    }

    [[nodiscard]] std::vector<Bytes> contents_of_source() { return contents(source_disks); }

    template <class Disks>
    [[nodiscard]] static std::vector<Bytes> contents(Disks& disks) {
        std::vector<Bytes> out;
        for (auto& disk : disks) {
            MemoryDevice& device = device_of(*disk);
            Bytes bytes(device.facts().size_bytes);
            REQUIRE(ok(device.read(0, bytes)));
            out.push_back(std::move(bytes));
        }
        return out;
    }

    std::mutex writing;

  private:
    static MemoryDevice& device_of(MemoryDevice& disk) { return disk; }

    static MemoryDevice& device_of(TrackedDisk& disk) { return disk.disk; }

    void write_on() {
        SeededRandom random(7);
        for (std::uint8_t value = 1; !stopped_; ++value) {
            for (auto& disk : source_disks) {
                const std::lock_guard lock(writing);
                disk->write_block(random.below(disk->disk.facts().size_bytes / block_bytes), value);
            }
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }

    TemporaryDirectory journals_{"/var/tmp"};
    std::atomic<bool> stopped_ = false;
    std::thread writer_;
};

/// Stops the writer of a lab. What happens while it stands still is the test's choice.
class LabFreezer final : public Freezer {
  public:
    explicit LabFreezer(SealLab& lab)
        : lab_(lab) {}

    [[nodiscard]] Result<> prepare() override { return {}; }

    [[nodiscard]] Result<> settle() override { return {}; }

    [[nodiscard]] Result<> freeze() override {
        held_ = std::unique_lock(lab_.writing);
        ++freezes;
        image = lab_.contents_of_source();
        if (while_frozen) while_frozen();
        return {};
    }

    [[nodiscard]] Result<PointKind> thaw() override {
        held_ = {};
        if (ends_early) return Error(Errc::timed_out, "freeze_ended_early", "too long");
        return PointKind::application;
    }

    int freezes = 0;
    std::vector<Bytes> image;
    std::function<void()> while_frozen;
    bool ends_early = false;

  private:
    SealLab& lab_;
    std::unique_lock<std::mutex> held_;
};

bool has_sealed_points(SealLab& lab) {
    for (const BatchMark& point : lab.target->progress().points)
        if (point.kind == PointKind::application) return true;
    return false;
}

TEST_CASE("seal: under live writes a point holds what all disks held when they stood still") {
    SealLab lab({4 * mib, 2 * mib});
    lab.begin();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    REQUIRE(ok(sealed));
    CHECK(sealed->kind == PointKind::application);
    CHECK(freezer->freezes == 1);
    lab.kill_source();
    const auto points = lab.target->progress().points;
    const auto found = std::ranges::find(points, sealed->batch, &BatchMark::batch);
    REQUIRE(found != points.end());
    CHECK(found->kind == PointKind::application);
    CHECK(found->taken_micros == sealed->taken_micros);
    REQUIRE(ok(lab.target->restore_point(sealed->batch)));
    CHECK(SealLab::contents(lab.target_disks) == freezer->image);
    lab.start_source();
    lab.rest();
    REQUIRE(eventually([&] { return lab.source->drain({}).has_value(); }));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("seal: a point that was asked for outlives those that were found") {
    SealLab lab({2 * mib});
    lab.begin();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    REQUIRE(ok(sealed));
    REQUIRE(eventually([&] { return lab.target->progress().batch > sealed->batch + 100; }));
    CHECK(has_sealed_points(lab));
    lab.kill_source();
    REQUIRE(ok(lab.target->restore_point(sealed->batch)));
    CHECK(SealLab::contents(lab.target_disks) == freezer->image);
}

TEST_CASE("seal: what was thawed too early is sent, and is no point of that kind") {
    SealLab lab({2 * mib});
    lab.begin();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    freezer->ends_early = true;
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    REQUIRE_FALSE(ok(sealed));
    CHECK(sealed.error().id() == "freeze_ended_early");
    CHECK_FALSE(has_sealed_points(lab));
    lab.rest();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
}

/// While `restless`, whoever reads it finds it written at another place.
class RestlessDevice final : public ForwardingDevice {
  public:
    RestlessDevice(TrackedDisk& tracked, const std::atomic<bool>& restless)
        : ForwardingDevice(tracked.disk),
          tracked_(tracked),
          restless_(restless) {}

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        if (restless_) tracked_.write_block(offset / block_bytes == 17 ? 18 : 17, 0x77);
        return disk_.read(offset, out);
    }

  private:
    TrackedDisk& tracked_;
    const std::atomic<bool>& restless_;
};

TEST_CASE("seal: writes that go past the freeze make no point") {
    SealLab lab({2 * mib});
    std::atomic<bool> restless = false;
    lab.open_source_disk = [&](std::size_t i) {
        return std::make_unique<RestlessDevice>(*lab.source_disks[i], restless);
    };
    lab.begin();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    freezer->while_frozen = [&] {
        restless = true;
        lab.source_disks[0]->write_block(17, 0x76);
    };
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    restless = false;
    REQUIRE_FALSE(ok(sealed));
    CHECK(sealed.error().id() == "freeze_never_quiet");
    CHECK_FALSE(has_sealed_points(lab));
    lab.rest();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("seal: more than fits into memory is sent later, and nothing is lost") {
    SealLab lab({48 * mib});
    lab.begin();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    freezer->while_frozen = [&] {
        for (std::uint64_t block = 0; block < 40 * mib / block_bytes; ++block)
            lab.source_disks[0]->write_block(block, 0x55);
    };
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    REQUIRE_FALSE(ok(sealed));
    CHECK(sealed.error().id() == "freeze_backlog_too_large");
    lab.rest();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("seal: without a journal on the target nothing is frozen") {
    SealLab lab({mib});
    lab.journal.reset();
    lab.mirror();
    const auto freezer = std::make_shared<LabFreezer>(lab);
    const auto sealed = lab.source->seal_point(freezer, patience_ms);
    REQUIRE_FALSE(ok(sealed));
    CHECK(sealed.error().id() == "points_not_possible");
    CHECK(freezer->freezes == 0);
}

TEST_CASE("seal: a source that is not connected says so in time, and freezes nothing") {
    SealLab lab({mib});
    lab.begin();
    lab.rest();
    lab.kill_target();
    REQUIRE(eventually([&] { return lab.recorder.state() == DataState::disconnected; }));
    const auto freezer = std::make_shared<LabFreezer>(lab);
    const auto sealed = lab.source->seal_point(freezer, 50);
    REQUIRE_FALSE(ok(sealed));
    CHECK(freezer->freezes == 0);
}

}  // namespace
}  // namespace drover::replicator::testing
