/// Replication of whole disks beside other tools: one run, on loop devices over files in memory.
///
///   replica-bench DIRECTORY MEMORY_DIRECTORY [--quick] [--rounds N] [mirror | delta | memory |
///   compare | points | live]...
///
/// All of them if none is named. `--quick` shows that everything runs, and measures nothing.
#include "bench/replica_bench.h"

#include "base/log.h"
#include "bench/measure.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace drover::bench {
namespace {

struct Benchmark {
    std::string name;
    void (*run)(const ReplicaScale&);
};

const std::vector<Benchmark>& benchmarks() {
    static const std::vector<Benchmark> table = {
        {"mirror", bench_mirror},   {"delta", bench_delta},   {"memory", bench_memory},
        {"compare", bench_compare}, {"points", bench_points}, {"live", bench_live}};
    return table;
}

void make_quick(ReplicaScale& scale) {
    scale.rounds = 1;
    scale.dense_mib = 128;
    scale.sparse_mib = 256;
    scale.sparse_data_mib = 64;
    scale.delta_mib = 128;
    scale.memory_gib = {1, 2};
    scale.live_seconds = 2;
    scale.live_mib_per_s = {5};
}

int run(int argc, char** argv) {
    if (argc < 3)
        fail(
            "usage: replica-bench DIRECTORY MEMORY_DIRECTORY [--quick] [--rounds N] "
            "[BENCHMARK]...");
    if (::geteuid() != 0) fail("needs root: loop devices and block tracepoints");
    log::set_level(log::Level::error);
    ReplicaScale scale;
    scale.directory = argv[1];
    scale.memory_directory = argv[2];
    std::vector<Benchmark> chosen;
    for (int i = 3; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0) {
            make_quick(scale);
            continue;
        }
        if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            scale.rounds = std::atoi(argv[++i]);
            continue;
        }
        const std::size_t before = chosen.size();
        for (const Benchmark& one : benchmarks())
            if (one.name == argv[i]) chosen.push_back(one);
        if (chosen.size() == before) fail(std::string("there is no benchmark ") + argv[i]);
    }
    for (const Benchmark& one : chosen.empty() ? benchmarks() : chosen) one.run(scale);
    return 0;
}

}  // namespace
}  // namespace drover::bench

int main(int argc, char** argv) {
    return drover::bench::run(argc, argv);
}
