// What filesystems call free, proved by leaving it out: the copy without it must be a clean
// filesystem whose files are all right, on the disk of a quiet filesystem and of a busy one.
#include "replicator/free_space.h"

#include "base/random.h"
#include "replicator/aligned_buffer.h"
#include "replicator/block_map.h"
#include "replicator/bpffs.h"
#include "replicator/ebpf_tracker.h"
#include "replicator/free_space_mounts.h"
#include "replicator/free_space_sources.h"
#include "replicator/zero_runs.h"
#include "tests/replicator/filesystem_bench.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <thread>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t piece_bytes = 1U << 20;
constexpr int passes_max = 10'000;

std::unique_ptr<FilesystemBench> bench_of(const FilesystemTools& tools,
                                          std::uint64_t start = odd_start) {
    std::string why;
    auto bench = FilesystemBench::make(tools, start, why);
    if (!bench) WARN("skipped for " << tools.type << ": " << why);
    return bench;
}

std::unique_ptr<BlockDevice> device_of(const LoopDisk& disk) {
    auto device = open_device(disk.facts().path, Access::read_only);
    REQUIRE(ok(device));
    return std::move(*device);
}

FreeSpace free_of(const LoopDisk& disk) {
    const auto device = device_of(disk);
    auto space = read_free_space(*device);
    REQUIRE(ok(space));
    return std::move(*space);
}

/// One bit for each block.
class Mask {
  public:
    explicit Mask(std::uint64_t bytes)
        : words_(words_of(blocks_of(bytes))),
          map_(words_.data(), blocks_of(bytes)) {}

    [[nodiscard]] BlockMap map() const { return map_; }

  private:
    std::vector<std::uint64_t> words_;
    BlockMap map_;
};

/// Copies blocks from one disk to the other, past both page caches.
class Copier {
  public:
    explicit Copier(FilesystemBench& bench)
        : source_(bench.disk().open()),
          target_(bench.copy().open()) {}

    void copy(std::uint64_t offset, std::uint64_t length) {
        while (length > 0) {
            const std::uint64_t step = std::min(length, piece_bytes);
            const auto piece = buffer_.first(step);
            const auto at = static_cast<off_t>(offset);
            REQUIRE(::pread(source_.get(), piece.data(), step, at) == static_cast<ssize_t>(step));
            REQUIRE(::pwrite(target_.get(), piece.data(), step, at) == static_cast<ssize_t>(step));
            copied_ += step;
            offset += step;
            length -= step;
        }
    }

    /// Everything but what is free.
    void mirror(const std::vector<ByteSpan>& free) {
        std::uint64_t from = 0;
        for (const ByteSpan& span : free) {
            copy(from, span.begin - from);
            from = span.end;
        }
        copy(from, filesystem_disk_bytes - from);
    }

    [[nodiscard]] std::uint64_t copied() const { return copied_; }

  private:
    Fd source_;
    Fd target_;
    AlignedBuffer buffer_{piece_bytes};
    std::uint64_t copied_ = 0;
};

/// The tracker of a bench's source disk; all of it is gone afterwards.
class Tracking {
  public:
    explicit Tracking(const LoopDisk& disk)
        : named_(disk.facts()) {
        std::string path = "/var/tmp/drover-tracker-XXXXXX";
        options_.job = SystemRandom().uuid();
        options_.boot_id = "boot-1";
        options_.state_directory = ::mkdtemp(path.data());
        auto tracker = open_ebpf_tracker(named_, options_);
        REQUIRE(ok(tracker));
        tracker_ = std::move(*tracker);
    }

    ~Tracking() {
        tracker_.reset();
        CHECK(remove_pins(pin_directory(options_.job, options_.disk)));
        std::filesystem::remove_all(options_.state_directory);
    }

    Tracking(const Tracking&) = delete;
    Tracking& operator=(const Tracking&) = delete;

    /// What is dirty is copied and leaves the mask. The order that loses nothing: take, read.
    void pass(Copier& copier, BlockMap mask) {
        BlockMap dirty = tracker_->dirty();
        for (std::size_t word = 0; word < words_of(dirty.blocks()); ++word) {
            if (dirty.word(word) == 0) continue;
            copy_bits(copier, mask, word * 64, dirty.take_word(word));
        }
    }

    /// Until nothing is dirty and the audit vouches for it. False: it never was.
    [[nodiscard]] bool drain(Copier& copier, BlockMap mask) {
        for (int i = 0; i < passes_max; ++i) {
            pass(copier, mask);
            const auto audit = tracker_->audit();
            REQUIRE(ok(audit));
            if (audit->verdict == Audit::Verdict::exact && tracker_->dirty().count() == 0)
                return true;
        }
        return false;
    }

  private:
    /// In runs: the disks are slow and the writers are not.
    static void copy_bits(Copier& copier, BlockMap mask, std::uint64_t first, std::uint64_t bits) {
        while (bits != 0) {
            const auto skip = static_cast<unsigned>(std::countr_zero(bits));
            const auto run = static_cast<unsigned>(std::countr_one(bits >> skip));
            mask.clear(first + skip, run);
            copier.copy((first + skip) * block_bytes, run * block_bytes);
            const std::uint64_t ones = run == 64 ? ~0ULL : (1ULL << run) - 1;
            bits &= ~(ones << skip);
        }
    }

    NamedDisk named_;
    TrackerOptions options_;
    std::unique_ptr<ChangeTracker> tracker_;
};

/// Bytes that differ where they must not: outside of the mask from the source, inside from zero.
std::uint64_t wrong_blocks(FilesystemBench& bench, BlockMap mask) {
    const Bytes source = bench.disk().contents();
    const Bytes target = bench.copy().contents();
    REQUIRE(source.size() == target.size());
    std::uint64_t wrong = 0;
    for (std::uint64_t block = 0; block < mask.blocks(); ++block) {
        const auto here = ByteView(target).subspan(block * block_bytes, block_bytes);
        const auto there = ByteView(source).subspan(block * block_bytes, block_bytes);
        const bool is_right = mask.test(block) ? is_zero(here) : std::ranges::equal(here, there);
        if (!is_right) ++wrong;
    }
    return wrong;
}

/// Files of many sizes, and free space that holds what deleted ones held.
void fill(const FilesystemBench& bench) {
    SeededRandom random(7);
    std::vector<std::filesystem::path> written;
    for (std::uint64_t i = 0; i < 160; ++i) {
        const auto directory = bench.root() / std::to_string(i % 8);
        std::filesystem::create_directories(directory);
        const std::uint64_t length = random.below(i % 16 == 0 ? 4U << 20 : 64U << 10);
        REQUIRE(write_sealed_file(directory, i, length));
        if (i % 3 == 0)
            written.push_back(directory /
                              ("sealed-" + std::to_string(i) + "-" + std::to_string(length)));
    }
    for (const auto& path : written) REQUIRE(std::filesystem::remove(path));
}

std::optional<FilesystemTools> tools_of(std::string_view type) {
    for (const FilesystemTools& tools : filesystem_tools())
        if (tools.type == type) return tools;
    return std::nullopt;
}

void check_answer(const FilesystemBench& bench, const FreeSpace& space, std::uint64_t start) {
    REQUIRE(space.filesystems.size() == 1);
    const FilesystemAnswer& answer = space.filesystems.front();
    INFO(answer.type << " " << answer.why_used);
    CHECK(answer.why_used.empty());
    CHECK(answer.mount_point == bench.root().native());
    CHECK(answer.place.begin == start);
    CHECK(answer.free_bytes == space.bytes());
    std::uint64_t upto = 0;
    for (const ByteSpan& span : space.ranges) {
        CHECK(span.begin % block_bytes == 0);
        CHECK(span.end % block_bytes == 0);
        CHECK(span.begin >= std::max(upto, answer.place.begin));
        CHECK(span.end <= answer.place.end);
        upto = span.end + 1;
    }

    struct statvfs about {};

    REQUIRE(::statvfs(bench.root().c_str(), &about) == 0);
    const std::uint64_t claimed = about.f_bfree * about.f_frsize;
    // About what the filesystem says of itself; xfs keeps some of its free space back. What its
    // chunks have left is free to a btrfs, and not to us.
    const std::uint64_t least = answer.type == "btrfs" ? claimed / 4 : claimed / 10 * 8;
    CHECK(space.bytes() >= least);
    CHECK(space.bytes() <= claimed + (32U << 20));
}

void prove_quiet(const FilesystemTools& tools, std::uint64_t start) {
    const auto bench = bench_of(tools, start);
    if (!bench) return;
    REQUIRE(bench->mount());
    fill(*bench);
    const FreeSpace space = free_of(bench->disk());
    check_answer(*bench, space, start);
    std::vector<std::string> before;
    REQUIRE(wrong_sealed_files(bench->root(), &before).empty());
    Copier copier(*bench);
    copier.mirror(space.ranges);
    CHECK(copier.copied() == filesystem_disk_bytes - space.bytes());
    REQUIRE(bench->unmount());
    std::vector<std::string> after;
    CHECK(bench->wrong_in_copy(&after) == "");
    CHECK(before.size() > 100);
    CHECK(before == after);
    WARN(tools.type << ": left out " << space.bytes() / piece_bytes << " of "
                    << filesystem_disk_bytes / piece_bytes << " MiB in " << space.ranges.size()
                    << " ranges");
}

/// Three of them, until end().
class Writers {
  public:
    explicit Writers(const std::filesystem::path& directory) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed)
            threads_.emplace_back([this, directory, seed] { churn(directory, seed, stop_); });
    }

    ~Writers() { end(); }

    Writers(const Writers&) = delete;
    Writers& operator=(const Writers&) = delete;

    void end() {
        stop_ = true;
        for (std::thread& thread : threads_)
            if (thread.joinable()) thread.join();
    }

  private:
    std::atomic<bool> stop_ = false;
    std::vector<std::thread> threads_;
};

enum class End { crash, unmount };

/// Writers run before, during and after the question. The copy is taken as a power cut would leave
/// the disk, or after an orderly end.
void prove_busy(const FilesystemTools& tools, End end) {
    const auto bench = bench_of(tools);
    if (!bench) return;
    if (const auto able = ebpf_can_track(bench->disk().facts()); !able) {
        WARN("skipped for " << tools.type << ": " << able.error().text());
        return;
    }
    REQUIRE(bench->mount());
    fill(*bench);
    Writers writers(bench->root());
    Tracking tracking(bench->disk());
    const FreeSpace space = free_of(bench->disk());
    // A crash soon after is the hard one: what was freed just now is hardly written down.
    if (end == End::crash) writers.end();
    Mask mask(filesystem_disk_bytes);
    for (const ByteSpan& span : space.ranges)
        mask.map().set(span.begin / block_bytes, span.length() / block_bytes);
    const std::uint64_t masked = mask.map().count();
    Copier copier(*bench);
    copier.mirror(space.ranges);
    tracking.pass(copier, mask.map());
    writers.end();
    if (end == End::unmount) REQUIRE(bench->unmount());
    REQUIRE(tracking.drain(copier, mask.map()));
    CHECK(wrong_blocks(*bench, mask.map()) == 0);
    if (end == End::crash) REQUIRE(bench->unmount());
    CHECK(bench->wrong_in_copy() == "");
    CHECK(masked > 0);
    WARN(tools.type << ": " << masked << " blocks left out, " << mask.map().count()
                    << " of them to the end; copied " << copier.copied() / piece_bytes << " of "
                    << filesystem_disk_bytes / piece_bytes << " MiB");
}

/// Files vanish while free space is asked for, and nobody syncs: what the answer calls free must
/// not belong to a file again after a power cut.
void prove_deleted(const FilesystemTools& tools) {
    constexpr std::uint64_t files = 1500;
    const auto bench = bench_of(tools);
    if (!bench || !ebpf_can_track(bench->disk().facts())) return;
    REQUIRE(bench->mount());
    for (std::uint64_t i = 0; i < files; ++i)
        REQUIRE(write_sealed_file(bench->root(), i, 3 * block_bytes));
    Tracking tracking(bench->disk());
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> deleted = 0;
    std::thread deleter([&] {
        for (; !stop && deleted < files; ++deleted)
            ::unlink((bench->root() /
                      ("sealed-" + std::to_string(deleted) + "-" + std::to_string(3 * block_bytes)))
                         .c_str());
    });
    const auto device = device_of(bench->disk());
    const auto space = read_free_space(*device);
    stop = true;
    deleter.join();
    REQUIRE(ok(space));
    Mask mask(filesystem_disk_bytes);
    for (const ByteSpan& span : space->ranges)
        mask.map().set(span.begin / block_bytes, span.length() / block_bytes);
    Copier copier(*bench);
    copier.mirror(space->ranges);
    REQUIRE(tracking.drain(copier, mask.map()));
    REQUIRE(bench->unmount());
    CHECK(bench->wrong_in_copy() == "");
    WARN(tools.type << ": " << deleted << " of " << files << " files deleted meanwhile");
}

}  // namespace

TEST_CASE("free space: a file deleted while it is asked for does not come back without content") {
    for (const FilesystemTools& tools : filesystem_tools()) prove_deleted(tools);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: ext4") {
    prove_quiet(*tools_of("ext4"), odd_start);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: ext4, 1 KiB") {
    FilesystemTools tools = *tools_of("ext4");
    tools.make += " -b 1024";
    prove_quiet(tools, odd_start);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: whole disk") {
    prove_quiet(*tools_of("ext4"), 0);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: xfs") {
    prove_quiet(*tools_of("xfs"), odd_start);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: xfs, rmapbt") {
    FilesystemTools tools = *tools_of("xfs");
    tools.make += " -m rmapbt=1,reflink=1";
    prove_quiet(tools, odd_start);
}

TEST_CASE("free space: a copy without it is a clean filesystem with every file: btrfs") {
    prove_quiet(*tools_of("btrfs"), odd_start);
}

TEST_CASE("free space: asked of a busy filesystem, a power cut soon after loses nothing") {
    for (const FilesystemTools& tools : filesystem_tools()) prove_busy(tools, End::crash);
}

TEST_CASE("free space: what is written to it later is marked by the tracker and copied") {
    for (const FilesystemTools& tools : filesystem_tools()) prove_busy(tools, End::unmount);
}

TEST_CASE("free space: an answer in many parts is the answer in one") {
    for (const FilesystemTools& tools : filesystem_tools()) {
        const auto bench = bench_of(tools);
        if (!bench) continue;
        REQUIRE(bench->mount());
        fill(*bench);
        const FreeSpace whole = free_of(bench->disk());
        const ByteSpan place = whole.filesystems.at(0).place;
        const Fd root(::open(bench->root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

        struct stat about {};

        REQUIRE(::fstat(root.get(), &about) == 0);
        // Seven records, and one item of the device tree, at a time.
        const auto device = device_of(bench->disk());
        std::vector<ByteSpan> parts;
        if (tools.type == "btrfs") {
            const auto answer = free_by_chunks(root.get(), *device, 128);
            REQUIRE(ok(answer));
            parts = answer->at(0).free;
        } else {
            const auto answer = free_by_fsmap(root.get(), about.st_dev, place, 7);
            REQUIRE(ok(answer));
            parts = answer->free;
        }
        CHECK((whole_blocks(parts, place) == whole.ranges));
    }
}

TEST_CASE("free space: what is not mounted, or read-only, is used") {
    for (const FilesystemTools& tools : filesystem_tools()) {
        const auto bench = bench_of(tools);
        if (!bench) continue;
        FreeSpace space = free_of(bench->disk());
        CHECK(space.ranges.empty());
        CHECK(space.filesystems.empty());
        REQUIRE(bench->mount("ro"));
        space = free_of(bench->disk());
        CHECK(space.ranges.empty());
        REQUIRE(space.filesystems.size() == 1);
        CHECK(space.filesystems[0].why_used == "it is mounted read-only");
    }
}

TEST_CASE("free space: a filesystem on another disk is not this disk's") {
    for (const FilesystemTools& tools : filesystem_tools()) {
        const auto bench = bench_of(tools);
        if (!bench) continue;
        REQUIRE(bench->mount());
        const FreeSpace space = free_of(bench->copy());
        CHECK(space.ranges.empty());
        CHECK(space.filesystems.empty());
    }
}

}  // namespace drover::replicator
