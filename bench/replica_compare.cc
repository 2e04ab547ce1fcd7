#include "bench/copy_tools.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <cstdio>

namespace drover::bench {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t block = 4096;

void print_row(const std::string& what, const std::vector<double>& seconds, std::uint64_t size_mib,
               const std::string& sent) {
    const double middle = median(seconds);
    std::printf("| %s | %.2f (%.2f to %.2f) | %s | %s |\n", what.c_str(), middle,
                quantile(seconds, 0), quantile(seconds, 1),
                grouped(static_cast<double>(size_mib) / middle).c_str(), sent.c_str());
    std::fflush(stdout);
}

}  // namespace

void bench_compare(const ReplicaScale& scale) {
    const std::uint64_t size = scale.dense_mib * mib;
    std::printf("\nComparison of whole disks of %s MiB, with TLS; medians of %d rounds.\n\n",
                grouped(static_cast<double>(scale.dense_mib)).c_str(), scale.rounds);
    std::printf(
        "| what | s (from, to) | MiB/s of the disk | MiB over the wire |\n|---|---|---|---|\n");
    LoopDisk source(scale.memory_directory, size);
    LoopDisk target(scale.memory_directory, size);
    source.fill(0, size, 1);
    std::vector<double> resync;
    std::vector<double> sent;
    std::vector<double> verify;
    std::vector<double> sha256sum;
    {
        Pair pair({source.path(), target.path(), scale.directory + "/pair", true});
        pair.start_source();
        (void)pair.wait_mirrored();
        pair.drain();
        for (int i = 0; i < scale.rounds; ++i) {
            // As a reboot does: what was written meanwhile is known to nobody.
            pair.forget_source();
            source.change(size / block / 100, size, static_cast<std::uint64_t>(i) + 1);
            const std::uint64_t wire_before = pair.wire_bytes();
            double began = now_us();
            pair.start_source();
            resync.push_back((pair.wait_mirrored() - began) / 1e6);
            sent.push_back(static_cast<double>(pair.wire_bytes() - wire_before) / mib);
            pair.drain();
            if (source.bytes_that_differ(target) != 0) fail("the resync left a difference");
            pair.hold();
            began = now_us();
            (void)pair.verify();
            verify.push_back((now_us() - began) / 1e6);
            pair.go_on();
        }
    }
    for (int i = 0; i < scale.rounds; ++i)
        sha256sum.push_back(seconds_of(
            "sh -c 'sha256sum <" + source.path() + " & sha256sum <" + target.path() + "; wait'",
            scale.directory + "/peers.log"));
    print_row("checksum resync, 1 % changed", resync, scale.dense_mib, grouped(median(sent)));
    print_row("SHA-256 of both ends before a release", verify, scale.dense_mib, "");
    print_row("sha256sum of both disks, side by side", sha256sum, scale.dense_mib, "");
}

}  // namespace drover::bench
