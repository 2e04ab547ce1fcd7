#include "bench/copy_tools.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <cstdio>
#include <map>

namespace drover::bench {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr unsigned streams_more = 4;

struct MirrorCase {
    std::string name;
    std::uint64_t size_mib = 0;
    std::uint64_t data_mib = 0;
    bool tls = false;
};

/// Seconds of each tool, in the order of the table.
class Times {
  public:
    void add(const std::string& tool, double seconds) {
        if (!times_.contains(tool)) order_.push_back(tool);
        times_[tool].push_back(seconds);
    }

    void print(const MirrorCase& what) const {
        const double ours = median(times_.at(order_.front()));
        for (const std::string& tool : order_) {
            const auto& times = times_.at(tool);
            const double seconds = median(times);
            std::printf("| %s | %s | %s | %.2f (%.2f to %.2f) | %s | %.2f |\n", what.name.c_str(),
                        what.tls ? "TLS" : "plain", tool.c_str(), seconds, quantile(times, 0),
                        quantile(times, 1),
                        grouped(static_cast<double>(what.size_mib) / seconds).c_str(),
                        seconds / ours);
        }
        std::fflush(stdout);
    }

  private:
    std::vector<std::string> order_;
    std::map<std::string, std::vector<double>> times_;
};

class MirrorRun {
  public:
    MirrorRun(const ReplicaScale& scale, const MirrorCase& what)
        : scale_(scale),
          what_(what),
          log_(scale.directory + "/peers.log"),
          keys_(what.tls ? make_tls_keys(scale.directory) : ""),
          source_(scale.memory_directory, what.size_mib * mib),
          target_(scale.memory_directory, what.size_mib * mib) {
        // Of a sparse disk, data lies in stretches all over it.
        const std::uint64_t stretches = what.data_mib == what.size_mib ? 1 : 64;
        const std::uint64_t length = what.data_mib * mib / stretches;
        const std::uint64_t step = what.size_mib * mib / stretches;
        for (std::uint64_t i = 0; i < stretches; ++i) source_.fill(i * step, length, i + 1);
    }

    void round() {
        drover();
        const bool is_dense = what_.data_mib == what_.size_mib;
        if (is_dense) drover(streams_more);
        const Copy copy = is_dense ? Copy::dense : Copy::sparse;
        peer("nbdcopy", nbdcopy_command, copy);
        peer("qemu-img convert -W -m 16", qemu_img_command, copy);
        if (is_dense) return;
        peer("nbdcopy --destination-is-zero", nbdcopy_command, Copy::sparse_to_blank);
        peer("qemu-img convert --target-is-zero -W -m 16", qemu_img_command, Copy::sparse_to_blank);
    }

    void print() const { times_.print(what_); }

  private:
    void drover(unsigned streams = 1) {
        target_.blank();
        Pair pair({source_.path(), target_.path(), scale_.directory + "/pair", what_.tls, streams});
        const double began = now_us();
        pair.start_source();
        const double mirrored = pair.wait_mirrored();
        pair.drain();
        const double proved = now_us();
        const std::string name =
            streams == 1 ? "drover" : "drover, " + std::to_string(streams) + " bulk connections";
        check(name);
        times_.add(name, (mirrored - began) / 1e6);
        times_.add(name + ", and all of it read back", (proved - began) / 1e6);
    }

    using Command = std::string (*)(const LoopDisk&, const NbdServer&, const std::string&, Copy);

    void peer(const std::string& name, Command command, Copy copy) {
        target_.blank();
        {
            const NbdServer server(target_, keys_, log_);
            times_.add(name, seconds_of(command(source_, server, keys_, copy), log_));
        }
        check(name);
    }

    void check(const std::string& name) {
        const std::uint64_t differing = source_.bytes_that_differ(target_);
        if (differing != 0) fail(name + " left " + std::to_string(differing) + " bytes different");
    }

    const ReplicaScale& scale_;
    const MirrorCase& what_;
    std::string log_;
    std::string keys_;
    LoopDisk source_;
    LoopDisk target_;
    Times times_;
};

}  // namespace

void bench_mirror(const ReplicaScale& scale) {
    std::printf(
        "\nFull mirror; medians of %d rounds; every copy byte-compared after it was timed.\n\n",
        scale.rounds);
    std::printf("| disk | network | tool | s (from, to) | MiB/s of the disk | it : drover |\n");
    std::printf("|---|---|---|---|---|---|\n");
    const std::string dense = std::to_string(scale.dense_mib) + " MiB, all data";
    const std::string sparse = std::to_string(scale.sparse_mib) + " MiB, " +
                               std::to_string(scale.sparse_data_mib) + " MiB of data";
    const std::vector<MirrorCase> cases = {{dense, scale.dense_mib, scale.dense_mib, false},
                                           {dense, scale.dense_mib, scale.dense_mib, true},
                                           {sparse, scale.sparse_mib, scale.sparse_data_mib, false},
                                           {sparse, scale.sparse_mib, scale.sparse_data_mib, true}};
    for (const MirrorCase& what : cases) {
        MirrorRun run(scale, what);
        for (int i = 0; i < scale.rounds; ++i) run.round();
        run.print();
    }
}

}  // namespace drover::bench
