#include "bench/copy_tools.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <cstdio>
#include <filesystem>

namespace drover::bench {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t block = 4096;

class DeltaRun {
  public:
    DeltaRun(const ReplicaScale& scale, const std::string& disks)
        : scale_(scale),
          log_(scale.directory + "/peers.log"),
          size_(scale.delta_mib * mib),
          source_(disks, size_),
          target_(disks, size_),
          peer_target_(disks, size_) {
        source_.fill(0, size_, 1);
        copy_to_peer();
    }

    /// `per_mille` of the disk changed, again and again. `name` tells the row from others.
    void share(std::uint64_t per_mille, const std::string& name, bool has_journal = false) {
        const std::uint64_t blocks = size_ / block * per_mille / 1000;
        std::vector<double> ours;
        std::vector<double> amplification;
        std::vector<double> nbdcopy;
        std::vector<double> rsync;
        {
            Pair pair(options(has_journal));
            pair.start_source();
            (void)pair.wait_mirrored();
            pair.drain();
            pair.hold();
            for (int i = 0; i < scale_.rounds; ++i) {
                source_.change(blocks, size_, ++seed_);
                const std::uint64_t wire_before = pair.wire_bytes();
                const double began = now_us();
                pair.drain();
                ours.push_back((now_us() - began) / 1e6);
                amplification.push_back(static_cast<double>(pair.wire_bytes() - wire_before) /
                                        static_cast<double>(blocks * block));
                check(target_, "drover");
            }
        }
        // A tracker that nobody asks makes the peers' work no slower: it sees no write of theirs.
        for (int i = 0; i < scale_.rounds; ++i) {
            source_.change(blocks, size_, ++seed_);
            nbdcopy.push_back(copy_to_peer());
            source_.change(blocks, size_, ++seed_);
            rsync.push_back(seconds_of(rsync_command(source_, peer_target_), log_));
            check(peer_target_, "rsync");
        }
        print(per_mille, name, ours, amplification, nbdcopy, rsync);
    }

  private:
    /// A journal lies on the real disk: it refuses memory.
    [[nodiscard]] PairOptions options(bool has_journal) const {
        PairOptions options{source_.path(), target_.path(), scale_.directory + "/pair"};
        if (!has_journal) return options;
        options.journal.emplace().directory = scale_.directory + "/journal";
        std::filesystem::create_directories(options.journal->directory);
        return options;
    }

    double copy_to_peer() {
        double seconds = 0;
        {
            const NbdServer server(peer_target_, "", log_);
            seconds = seconds_of(nbdcopy_command(source_, server, "", Copy::dense), log_);
        }
        check(peer_target_, "nbdcopy");
        return seconds;
    }

    void check(LoopDisk& target, const std::string& name) {
        const std::uint64_t differing = source_.bytes_that_differ(target);
        if (differing != 0) fail(name + " left " + std::to_string(differing) + " bytes different");
    }

    void print(std::uint64_t per_mille, const std::string& name, const std::vector<double>& ours,
               const std::vector<double>& amplification, const std::vector<double>& nbdcopy,
               const std::vector<double>& rsync) const {
        const double seconds = median(ours);
        std::printf(
            "| %llu MiB, %.1f %%, %s | %.1f (%.1f to %.1f) | %.3f | %.2f | %.2f | %.0f | %.0f |\n",
            static_cast<unsigned long long>(scale_.delta_mib), static_cast<double>(per_mille) / 10,
            name.c_str(), seconds * 1e3, quantile(ours, 0) * 1e3, quantile(ours, 1) * 1e3,
            median(amplification), median(nbdcopy), median(rsync), median(nbdcopy) / seconds,
            median(rsync) / seconds);
        std::fflush(stdout);
    }

    const ReplicaScale& scale_;
    std::string log_;
    std::uint64_t size_;
    std::uint64_t seed_ = 1;
    LoopDisk source_;
    LoopDisk target_;
    LoopDisk peer_target_;
};

}  // namespace

void bench_delta(const ReplicaScale& scale) {
    std::printf(
        "\nDelta: scattered 4 KiB blocks changed since the last copy; drover with TLS, until they "
        "are "
        "durable, read back and checkpointed on the target; medians of %d rounds; every "
        "copy byte-compared.\n\n",
        scale.rounds);
    std::printf(
        "| disk, changed | drover ms (from, to) | bytes on the wire : bytes changed | nbdcopy s | "
        "rsync s | nbdcopy : drover | rsync : drover |\n");
    std::printf("|---|---|---|---|---|---|---|\n");
    {
        DeltaRun run(scale, scale.memory_directory);
        for (const std::uint64_t per_mille : {1U, 10U, 100U}) run.share(per_mille, "in memory");
        run.share(10, "in memory, with a journal on the real disk", true);
    }
    DeltaRun run(scale, scale.directory);
    run.share(10, "real disk");
    run.share(10, "real disk, with a journal", true);
}

}  // namespace drover::bench
