/// Both ends over what they are made for: image files, and a loop device whose writes the kernel's
/// block tracepoints report. The second needs root, and says so if it has none.
#include "replicator/scan_tracker.h"
#include "tests/replicator/loop_disk.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <cstdlib>
#include <fstream>

#include <catch2/catch.hpp>

#include <unistd.h>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

std::unique_ptr<BlockDevice> opened(const std::string& path, Access access) {
    auto device = open_device(path, access);
    REQUIRE(ok(device));
    return std::move(*device);
}

Bytes contents(const std::string& path, std::uint64_t size) {
    Bytes out(static_cast<std::size_t>(size));
    REQUIRE(ok(opened(path, Access::read_only)->read(0, out)));
    return out;
}

TEST_CASE("image files: of an odd size, mirrored, kept in step and proved equal") {
    const std::uint64_t size = 12 * mib + 1777;
    Lab lab({size}, false);
    const std::string source = lab.directory.path() / "source.img";
    const std::string target = lab.directory.path() / "target.img";
    {
        std::ofstream file(source, std::ios::binary);
        const Bytes& content = lab.source_disks[0]->disk.contents();
        file.write(reinterpret_cast<const char*>(content.data()),
                   static_cast<std::streamsize>(size));
        std::ofstream(target).put('\0');
    }
    std::filesystem::resize_file(target, size);
    lab.open_source_disk = [&](std::size_t) { return opened(source, Access::read_only); };
    lab.open_target_disk = [&](std::size_t) { return opened(target, Access::read_write); };
    lab.mirror();
    auto writer = opened(source, Access::read_write);
    REQUIRE(ok(writer->write(size / 512 * 512, Bytes(size % 512, 0x5a))));
    REQUIRE(ok(writer->write(4096, Bytes(8192, 0xa5))));
    REQUIRE(ok(lab.source->drain({})));
    const auto verified = lab.source->verify();
    REQUIRE(ok(verified));
    CHECK(verified->mismatches.empty());
    CHECK(verified->disks[0].source_root == verified->disks[0].target_root);
    CHECK(contents(source, size) == contents(target, size));
    CHECK(lab.recorder.last().bytes_sent_sync <= 2 * scan_chunk_bytes);
}

TEST_CASE("loop device: block tracepoints under live writes, agents killed, no byte lost") {
    const std::uint64_t size = 48 * mib;
    std::string why;
    const auto disk = LoopDisk::make(size, why);
    if (!disk) {
        WARN("no loop device here: " << why);
        return;
    }
    if (const auto able = ebpf_can_track(disk->facts()); !able) {
        WARN("no block tracepoints here: " << able.error().text());
        return;
    }
    Lab lab({size}, false);
    lab.allow_ebpf = true;
    const std::string target = lab.directory.path() / "target.img";
    std::ofstream(target).put('\0');
    std::filesystem::resize_file(target, size);
    lab.open_source_disk = [&](std::size_t) {
        return opened(disk->facts().path, Access::read_only);
    };
    lab.open_target_disk = [&](std::size_t) { return opened(target, Access::read_write); };
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> writes = 0;
    std::thread writer([&] {
        SeededRandom random(11);
        while (!stop) {
            const std::uint64_t block = random.below(size / block_bytes);
            if (disk->write(block * block_bytes, block_bytes,
                            static_cast<std::uint8_t>(1 + random.below(255))))
                ++writes;
        }
    });
    lab.mirror();
    CHECK(lab.why_not_ebpf == "");
    const auto written = [&](std::uint64_t more) {
        const std::uint64_t goal = writes + more;
        return eventually([&] { return writes >= goal; });
    };
    const bool before = written(500);
    lab.kill_source();
    const bool without = written(200);
    lab.start_source();
    lab.kill_target();
    const bool away = written(200);
    lab.start_target();
    const bool after = eventually([&] { return lab.recorder.mirrors().size() >= 2; });
    stop = true;
    writer.join();
    REQUIRE((before && without && away && after));
    CHECK(lab.why_not_ebpf == "");
    // Taken over unless this host's kernel lost events beyond repair meanwhile: then it is
    // compared.
    CHECK((lab.tracker_resumed || lab.recorder.gone().size() == 1));
    REQUIRE(ok(lab.source->fence_mark()));
    REQUIRE(ok(lab.source->drain({})));
    const auto verified = lab.source->verify();
    REQUIRE(ok(verified));
    CHECK(verified->mismatches.empty());
    CHECK(disk->contents() == contents(target, size));
    lab.source->forget();
}

/// A loop device in sync with an image file, tracked by block tracepoints.
struct InSync {
    static constexpr std::uint64_t size = 16 * mib;

    /// Null, with a warning, where the host cannot do it.
    static std::unique_ptr<InSync> make() {
        auto made = std::make_unique<InSync>();
        std::string why;
        made->disk = LoopDisk::make(size, why);
        if (made->disk) {
            const auto able = ebpf_can_track(made->disk->facts());
            if (able) return made->begin() ? std::move(made) : nullptr;
            why = able.error().text();
        }
        WARN("skipped: " << why);
        return nullptr;
    }

    ~InSync() {
        if (lab.source) lab.source->forget();
    }

    bool begin() {
        for (std::uint64_t at = 0; at < size; at += mib)
            if (!disk->write(at, mib, static_cast<std::uint8_t>(1 + at / mib))) return false;
        std::ofstream(target).put('\0');
        std::filesystem::resize_file(target, size);
        lab.allow_ebpf = true;
        lab.open_source_disk = [this](std::size_t) {
            return opened(disk->facts().path, Access::read_only);
        };
        lab.open_target_disk = [this](std::size_t) { return opened(target, Access::read_write); };
        lab.mirror();
        return lab.why_not_ebpf.empty();
    }

    /// Compared once since it was in sync first, and in sync again.
    [[nodiscard]] bool compared_again() {
        return eventually([&] { return lab.recorder.mirrors().size() >= 2; }) &&
               !lab.recorder.gone().empty();
    }

    void must_be_equal() {
        REQUIRE(ok(lab.source->drain({})));
        const auto verified = lab.source->verify();
        REQUIRE(ok(verified));
        CHECK(verified->mismatches.empty());
        CHECK(disk->contents() == contents(target, size));
    }

    std::unique_ptr<LoopDisk> disk;
    Lab lab{{size}, false};
    std::string target = lab.directory.path() / "target.img";
};

TEST_CASE("loop device: resized during sync, it stalls with the reason and is compared later") {
    const auto sync = InSync::make();
    if (!sync) return;
    Lab& lab = sync->lab;
    const auto stalls = [&] {
        return eventually([&] { return lab.recorder.state() == DataState::stalled; });
    };
    SECTION("grown, written past its planned end, and back") {
        REQUIRE(sync->disk->resize(InSync::size + mib));
        REQUIRE(stalls());
        REQUIRE(sync->disk->write(InSync::size - 4096, 8192, 0x77));
        CHECK(std::filesystem::file_size(sync->target) == InSync::size);
    }
    SECTION("shrunk: what is gone comes back as zeroes without a write") {
        REQUIRE(sync->disk->resize(InSync::size - 4 * mib));
        REQUIRE(stalls());
    }
    const auto drained = lab.source->drain({});
    REQUIRE_FALSE(drained.has_value());
    CHECK(drained.error().id() == "disk_resized");
    CHECK_FALSE(drained.error().next().empty());
    REQUIRE(lab.recorder.gone().size() == 1);
    CHECK(lab.recorder.gone().front().cause.find("resized") != std::string::npos);
    REQUIRE(sync->disk->resize(InSync::size));
    REQUIRE(sync->compared_again());
    sync->must_be_equal();
}

TEST_CASE("loop device: zeroes give back what a thin disk held") {
    std::string why;
    const auto loop = LoopDisk::make(16 * mib, why);
    if (!loop) {
        WARN("skipped: " << why);
        return;
    }
    REQUIRE(loop->write(0, 16 * mib, 0xaa));
    const auto disk = opened(loop->facts().path, Access::read_write);
    REQUIRE(ok(disk->flush()));
    const std::uint64_t before = loop->allocated_bytes();
    REQUIRE(ok(disk->write_zeroes(4 * mib, 8 * mib)));
    REQUIRE(ok(disk->flush()));
    CHECK(loop->allocated_bytes() + 7 * mib <= before);
    Bytes expected(16 * mib, 0xaa);
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(4 * mib), 8 * mib, std::uint8_t{0});
    CHECK(loop->contents() == expected);
}

TEST_CASE("loop device: its accounting switched off during sync, it is compared as a whole") {
    const auto sync = InSync::make();
    if (!sync) return;
    REQUIRE(sync->disk->set_accounting(false));
    REQUIRE(sync->disk->write(3 * mib, 64 * 1024, 0x55));
    REQUIRE(sync->compared_again());
    CHECK(sync->disk->accounting());
    CHECK(sync->lab.recorder.gone().front().cause.find("accounting") != std::string::npos);
    sync->must_be_equal();
}

}  // namespace
}  // namespace drover::replicator
