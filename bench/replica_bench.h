/// The benchmarks of replication, one function each; replica_bench.cc chooses. All print Markdown.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace drover::bench {

struct ReplicaScale {
    std::string directory;         ///< for state and logs; on a real disk
    std::string memory_directory;  ///< for the disks; on tmpfs
    int rounds = 5;
    std::uint64_t dense_mib = 2048;
    std::uint64_t sparse_mib = 4096;
    std::uint64_t sparse_data_mib = 512;
    std::uint64_t delta_mib = 2048;
    std::vector<std::uint64_t> memory_gib = {8, 32, 128};
    double live_seconds = 20;
    std::vector<std::uint64_t> live_mib_per_s = {5, 20, 50};
};

/// Full copies, dense and sparse, plain and TLS, beside nbdcopy and qemu-img.
void bench_mirror(const ReplicaScale& scale);
/// A part of a disk changed: what it takes until it is durable and proved, beside tools that know
/// nothing of an earlier copy; and what goes over the wire for it.
void bench_delta(const ReplicaScale& scale);
/// Resident memory of both ends by the size of the disk.
void bench_memory(const ReplicaScale& scale);
/// Comparison of disks whose tracker was lost, and the full comparison before a release.
void bench_compare(const ReplicaScale& scale);
/// How far points of a live source lie apart, and whether each is one moment of it.
void bench_points(const ReplicaScale& scale);
/// What a writer on the source notices, and what is sent for what it writes.
void bench_live(const ReplicaScale& scale);

}  // namespace drover::bench
