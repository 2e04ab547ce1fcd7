/// Whole replicas over disks whose free space is left out: a mounted filesystem that is being
/// written, tracked by the kernel, mirrored to another loop disk, unmounted, drained and proved.
#include "tests/replicator/filesystem_bench.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <thread>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

std::unique_ptr<BlockDevice> opened(const LoopDisk& disk, Access access) {
    auto device = open_device(disk.facts().path, access);
    REQUIRE(ok(device));
    return std::move(*device);
}

/// Patient: a busy machine copies slowly.
bool finally(const std::function<bool()>& condition) {
    for (int i = 0; i < 12; ++i)
        if (eventually(condition)) return true;
    return false;
}

void migrate(const FilesystemTools& tools) {
    std::string why;
    const auto bench = FilesystemBench::make(tools, odd_start, why);
    if (bench && !ebpf_can_track(bench->disk().facts()))
        why = ebpf_can_track(bench->disk().facts()).error().text();
    if (!bench || !ebpf_can_track(bench->disk().facts())) {
        WARN("skipped for " << tools.type << ": " << why);
        return;
    }
    REQUIRE(bench->mount());
    Lab lab({filesystem_disk_bytes}, false);
    lab.allow_ebpf = true;
    lab.open_source_disk = [&](std::size_t) { return opened(bench->disk(), Access::read_only); };
    lab.open_target_disk = [&](std::size_t) { return opened(bench->copy(), Access::read_write); };
    std::atomic<std::uint64_t> free_bytes = 0;
    lab.free_space = [&](BlockDevice& disk) {
        auto space = read_free_space(disk);
        if (space) free_bytes = space->bytes();
        return space;
    };
    std::atomic<bool> stop = false;
    std::thread writer([&] { churn(bench->root(), 5, stop); });
    lab.start_target();
    lab.start_source();
    const bool is_mirrored = finally([&] { return !lab.recorder.mirrors().empty(); });
    lab.kill_source();
    lab.start_source();
    const bool is_again = finally([&] { return lab.recorder.mirrors().size() >= 2; });
    stop = true;
    writer.join();
    REQUIRE((is_mirrored && is_again));
    CHECK(lab.why_not_ebpf == "");
    CHECK(free_bytes > filesystem_disk_bytes / 4);
    std::vector<std::string> before;
    REQUIRE(wrong_sealed_files(bench->root(), &before).empty());
    REQUIRE(bench->unmount());
    REQUIRE(ok(lab.source->fence_mark()));
    REQUIRE(ok(lab.source->drain({})));
    const auto verified = lab.source->verify();
    REQUIRE(ok(verified));
    CHECK(verified->mismatches.empty());
    CHECK(lab.recorder.last().bytes_sent_mirror < filesystem_disk_bytes - free_bytes / 2);
    lab.source->forget();
    lab.kill_source();
    lab.kill_target();
    std::vector<std::string> after;
    CHECK(bench->wrong_in_copy(&after) == "");
    CHECK(before == after);
}

}  // namespace

TEST_CASE("skip: a busy filesystem is mirrored without its free space, and arrives whole") {
    for (const FilesystemTools& tools : filesystem_tools()) migrate(tools);
}

}  // namespace drover::replicator
