#include "bench/loop_disk.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr double mib = 1U << 20;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;
/// A page of a map of changed blocks speaks of 128 MiB: this touches all of them.
constexpr std::uint64_t data_every_bytes = 1U << 20;

/// MiB of a line of /proc/PID/status.
double status_mib(pid_t pid, const std::string& key) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    for (std::string word; in >> word;) {
        if (word != key + ":") continue;
        double kib = 0;
        in >> kib;
        return kib / 1024;
    }
    return 0;
}

/// Of the BPF maps that this process has in its address space: kernel memory, of which the resident
/// set shows what was touched.
double bpf_maps_mib() {
    std::ifstream in("/proc/self/maps");
    double bytes = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.find("bpf-map") == std::string::npos) continue;
        char* after = nullptr;
        const auto begin = std::strtoull(line.c_str(), &after, 16);
        bytes += static_cast<double>(std::strtoull(after + 1, nullptr, 16) - begin);
    }
    return bytes / mib;
}

struct Memory {
    double source_mib = 0;
    double source_peak_mib = 0;
    double maps_mib = 0;
    double target_mib = 0;
    double target_peak_mib = 0;
};

Memory memory_with(const ReplicaScale& scale, std::uint64_t size_gib) {
    const std::uint64_t size = size_gib * gib;
    // Not in memory: tmpfs cannot make a range zeroes without filling it, so a target takes its
    // whole size there.
    LoopDisk source(scale.directory, size);
    LoopDisk target(scale.directory, size);
    source.change(size / data_every_bytes, size, 1);
    Pair pair({source.path(), target.path(), scale.directory + "/pair", true});
    pair.start_source();
    (void)pair.wait_mirrored();
    pair.drain();
    pair.hold();
    source.change(size / data_every_bytes / 8, size, 2);
    pair.drain();
    return {status_mib(::getpid(), "VmRSS"), status_mib(::getpid(), "VmHWM"), bpf_maps_mib(),
            status_mib(pair.target_pid(), "VmRSS"), status_mib(pair.target_pid(), "VmHWM")};
}

/// In a process of its own: what an earlier disk left behind must not count.
Memory measured_apart(const ReplicaScale& scale, std::uint64_t size_gib) {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0) fail("cannot make a pipe");
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        const Memory memory = memory_with(scale, size_gib);
        ::_exit(::write(ends[1], &memory, sizeof memory) == sizeof memory ? 0 : 1);
    }
    ::close(ends[1]);
    Memory memory;
    const bool told = ::read(ends[0], &memory, sizeof memory) == sizeof memory;
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    if (!told) fail("no figures of memory");
    return memory;
}

}  // namespace

void bench_memory(const ReplicaScale& scale) {
    std::printf(
        "\nMemory in sync, by the size of the disk (sparse, a block in every MiB written, 4 "
        "KiB "
        "granularity).\n\n");
    std::printf("| disk | source RSS MiB (peak) | its BPF maps MiB | target RSS MiB (peak) |\n");
    std::printf("|---|---|---|---|\n");
    std::vector<Memory> all;
    for (const std::uint64_t size_gib : scale.memory_gib) {
        const Memory memory = all.emplace_back(measured_apart(scale, size_gib));
        std::printf("| %llu GiB | %.1f (%.1f) | %.1f | %.1f (%.1f) |\n",
                    static_cast<unsigned long long>(size_gib), memory.source_mib,
                    memory.source_peak_mib, memory.maps_mib, memory.target_mib,
                    memory.target_peak_mib);
        std::fflush(stdout);
    }
    const double more_tib =
        static_cast<double>(scale.memory_gib.back() - scale.memory_gib.front()) / 1024;
    std::printf("| per TiB more | %.0f | %.0f | %.0f |\n",
                (all.back().source_mib - all.front().source_mib) / more_tib,
                (all.back().maps_mib - all.front().maps_mib) / more_tib,
                (all.back().target_mib - all.front().target_mib) / more_tib);
}

}  // namespace drover::bench
