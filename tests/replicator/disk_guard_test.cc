/// Where a disk is sampled, and when a place may have a sample.
#include "replicator/disk_guard.h"

#include "base/bytes.h"
#include "replicator/block_map.h"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

constexpr std::uint64_t mib = 1U << 20;

JobId job_seven() {
    JobId job;
    job.data.fill(7);
    return job;
}

TEST_CASE("sample places: whole blocks of the disk, ascending, at most 64, ends included") {
    const std::uint64_t size =
        GENERATE(0U, 4095U, 4096U, 64 * 4096U, 65 * 4096U, 300 * 4096U + 777, 100 * mib);
    const auto offsets = sample_offsets(job_seven(), 0, size);
    const std::set<std::uint64_t> unique(offsets.begin(), offsets.end());
    CHECK(unique.size() == offsets.size());
    CHECK(std::is_sorted(offsets.begin(), offsets.end()));
    const std::uint64_t blocks = size / block_bytes;
    CHECK(offsets.size() <= std::min<std::uint64_t>(samples_max, blocks));
    CHECK(offsets.size() >= std::min<std::uint64_t>(samples_max - 8, blocks));
    for (const std::uint64_t offset : offsets) {
        CHECK(offset % block_bytes == 0);
        CHECK(offset + block_bytes <= size);
    }
    if (blocks == 0) return;
    CHECK(offsets.front() == 0);
    CHECK(offsets.back() == (blocks - 1) * block_bytes);
    CHECK((blocks <= 256 || unique.count(mib) == 1));
}

TEST_CASE("sample places: no large part of a disk is without one") {
    const std::uint64_t size = std::uint64_t{1} << 44;
    const auto offsets = sample_offsets(job_seven(), 0, size);
    CHECK(offsets.size() == samples_max);
    for (std::size_t i = 1; i < offsets.size(); ++i)
        CHECK(offsets[i] - offsets[i - 1] <= size / 61 * 2 + block_bytes);
    CHECK(offsets != sample_offsets(job_seven(), 1, size));
}

TEST_CASE("sample places: never move within a version of the format") {
    const auto offsets = sample_offsets(job_seven(), 3, 500U * mib);
    Bytes all;
    for (const std::uint64_t offset : offsets) put_u64(all, offset);
    CHECK(to_hex(digest_of(all).view()) == "e3e7902b88ccaf2a30db73e62529bc2d");
}

struct Guarded {
    /// As at the COMMIT of `batch`, with what was read at the places that were due.
    std::size_t commit(std::uint64_t batch, std::uint64_t mirrored_upto = mib) {
        Samples fresh;
        for (const std::uint64_t offset : guard.due(batch, mirrored_upto, samples))
            fresh.push_back({offset, Digest()});
        guard.add(fresh, batch, samples);
        return fresh.size();
    }

    DiskGuard guard{job_seven(), 0, mib};
    std::vector<std::uint64_t> places = sample_offsets(job_seven(), 0, mib);
    Samples samples;
};

TEST_CASE("disk guard: what is mirrored is sampled, what is not is not") {
    Guarded disk;
    CHECK(disk.commit(1, 0) == 0);
    CHECK(disk.commit(2, disk.places[10] + block_bytes - 1) == 10);
    CHECK(disk.commit(3, disk.places[10] + block_bytes) == 1);
    CHECK(disk.commit(4) == disk.places.size() - 11);
    CHECK(offsets_of(disk.samples) == disk.places);
    CHECK(disk.commit(5) == 0);
}

TEST_CASE("disk guard: a frame takes out the samples of the blocks that it touches, no other") {
    Guarded disk;
    disk.commit(1);
    const std::uint64_t place = disk.places[5];
    const std::uint64_t next = disk.places[6];
    REQUIRE(next > place + block_bytes);
    CHECK_FALSE(disk.guard.covers(place + block_bytes, next - place - block_bytes));
    CHECK_FALSE(disk.guard.touch(place + block_bytes, next - place - block_bytes, 2, disk.samples));
    CHECK(disk.samples.size() == disk.places.size());
    const auto [offset, length] = GENERATE_COPY(
        std::pair{place, std::uint64_t{512}}, std::pair{place + 4096 - 512, std::uint64_t{512}},
        std::pair{place - 512, std::uint64_t{1024}}, std::pair{place - 4096, std::uint64_t{16384}});
    CHECK(disk.guard.covers(offset, length));
    CHECK(disk.guard.touch(offset, length, 2, disk.samples));
    CHECK_FALSE(disk.guard.touch(offset, length, 2, disk.samples));
    const auto left = offsets_of(disk.samples);
    CHECK(std::count(left.begin(), left.end(), place) == 0);
    CHECK(std::count(left.begin(), left.end(), next) == (offset + length > next ? 0 : 1));
}

TEST_CASE("disk guard: a block of an open batch is not sampled by the commit before it") {
    Guarded disk;
    SECTION("written before the commit looked") {
        CHECK_FALSE(disk.guard.touch(disk.places[5], block_bytes, 2, disk.samples));
        CHECK(disk.commit(1) == disk.places.size() - 1);
    }
    SECTION("written while the commit looked") {
        const auto due = disk.guard.due(1, mib, disk.samples);
        CHECK(due.size() == disk.places.size());
        CHECK_FALSE(disk.guard.touch(disk.places[5], block_bytes, 2, disk.samples));
        Samples fresh;
        for (const std::uint64_t offset : due) fresh.push_back({offset, Digest()});
        disk.guard.add(fresh, 1, disk.samples);
    }
    CHECK(disk.samples.size() == disk.places.size() - 1);
    CHECK(disk.commit(2) == 1);
    CHECK(offsets_of(disk.samples) == disk.places);
}

TEST_CASE("disk guard: a block in every batch costs one checkpoint more, not one for each") {
    Guarded disk;
    const std::uint64_t period = GENERATE(1U, 2U, 7U, 64U);
    std::uint64_t drops = 0;
    constexpr std::uint64_t batches = 20'000;
    for (std::uint64_t batch = 1; batch <= batches; ++batch) {
        if (batch % period == 0 &&
            disk.guard.touch(disk.places[0], block_bytes, batch, disk.samples))
            ++drops;
        disk.commit(batch);
    }
    CHECK(drops >= 1);
    CHECK(drops <= 8);
    // And it is sampled again once it had rest.
    for (std::uint64_t batch = 0; batch <= rest_batches_max; ++batch)
        disk.commit(batches + 1 + batch);
    CHECK(offsets_of(disk.samples) == disk.places);
}

TEST_CASE("disk guard: a block that was quiet for long is sampled by the batch that writes it") {
    Guarded disk;
    std::uint64_t batch = 1;
    for (int hot = 0; hot < 100; ++hot, ++batch) {
        (void)disk.guard.touch(disk.places[9], block_bytes, batch, disk.samples);
        disk.commit(batch);
    }
    CHECK(disk.samples.size() == disk.places.size() - 1);
    for (int quiet = 0; quiet < 20; ++quiet) {
        batch += 2 * rest_batches_max;
        disk.commit(batch);
        batch += 2 * rest_batches_max;
        CHECK(disk.guard.touch(disk.places[9], block_bytes, batch, disk.samples));
        CHECK(disk.commit(batch) == 1);
    }
}

}  // namespace
}  // namespace drover::replicator
