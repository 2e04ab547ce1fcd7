#include "bench/copy_tools.h"
#include "bench/loop_disk.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

namespace drover::bench {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t live_disk_mib = 1024;
constexpr std::uint32_t points_max = 32;

std::string disk_writer() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "disk-writer";
}

/// A writer of scattered blocks on the source, and the points that come of it.
class PointRun {
  public:
    PointRun(const ReplicaScale& scale, std::uint64_t mib_per_s)
        : scale_(scale),
          mib_per_s_(mib_per_s),
          source_(scale.memory_directory, live_disk_mib * mib),
          target_(scale.memory_directory, live_disk_mib * mib) {}

    void round() {
        source_.blank();
        replicator::JournalPlace journal;
        journal.directory = scale_.directory + "/journal";
        journal.points_max = points_max;
        std::filesystem::create_directories(journal.directory);
        Pair pair({source_.path(), target_.path(), scale_.directory + "/pair", true, 1, journal});
        pair.start_source();
        (void)pair.wait_mirrored();
        pair.drain();
        pair.watch_points();
        write();
        pair.forget_source();
        const std::vector<Point> seen = pair.points_seen();
        for (std::size_t i = 1; i < seen.size(); ++i)
            gaps_ms_.push_back(
                static_cast<double>(seen[i].taken_micros - seen[i - 1].taken_micros) / 1e3);
        points_ += seen.size();
        go_back(pair);
    }

    void print() const {
        std::printf("| %" PRIu64 " | %zu | %.0f | %.0f | %.0f | %zu | %" PRIu64 " |\n", mib_per_s_,
                    points_, median(gaps_ms_), quantile(gaps_ms_, 0.99), quantile(gaps_ms_, 1),
                    restored_, torn_);
        std::fflush(stdout);
    }

  private:
    void write() {
        const std::string seconds = std::to_string(static_cast<int>(scale_.live_seconds));
        (void)seconds_of("timeout --preserve-status " + seconds + " " + disk_writer() + " write " +
                             source_.path() + " " + std::to_string(mib_per_s_) + " " +
                             std::to_string(++seed_) + " " + scale_.directory + "/writer.pid " +
                             report(),
                         log());
    }

    /// From the newest that is kept to the oldest, looking at each. The oldest may go meanwhile:
    /// what was acknowledged last still comes to the disks and needs room for the way back from it.
    void go_back(Pair& pair) {
        std::uint64_t before = std::numeric_limits<std::uint64_t>::max();
        for (;;) {
            std::vector<Point> kept = pair.points_kept();
            while (!kept.empty() && kept.back().batch >= before) kept.pop_back();
            if (kept.empty()) return;
            before = kept.back().batch;
            pair.restore(kept.back());
            torn_ += torn_blocks();
            ++restored_;
        }
    }

    /// On the target, as it is now.
    [[nodiscard]] std::uint64_t torn_blocks() const {
        const std::string told = scale_.directory + "/torn";
        (void)seconds_of("sh -c '" + disk_writer() + " torn " + report() + " " + target_.path() +
                             " >" + told + "'",
                         log());
        std::uint64_t torn = 0;
        std::ifstream in(told);
        if (!(in >> torn)) fail("cannot read " + told);
        return torn;
    }

    [[nodiscard]] std::string report() const { return scale_.directory + "/writer.report"; }

    [[nodiscard]] std::string log() const { return scale_.directory + "/writer.log"; }

    const ReplicaScale& scale_;
    std::uint64_t mib_per_s_;
    LoopDisk source_;
    LoopDisk target_;
    std::uint64_t seed_ = 0;
    std::vector<double> gaps_ms_;
    std::size_t points_ = 0;
    std::size_t restored_ = 0;
    std::uint64_t torn_ = 0;
};

}  // namespace

void bench_points(const ReplicaScale& scale) {
    std::printf(
        "\nConsistent points while a writer of scattered 4 KiB blocks runs on the source, %d times "
        "%.0f s, the target with a journal on the real disk: how far apart they are, and blocks "
        "that are not as they were at one moment on the disk of a target that went back to "
        "one.\n\n",
        scale.rounds, scale.live_seconds);
    std::printf(
        "| MiB/s written | points | gap p50 ms | gap p99 ms | gap max ms | gone back to | blocks "
        "out of order |\n|---|---|---|---|---|---|---|\n");
    for (const std::uint64_t mib_per_s : scale.live_mib_per_s) {
        PointRun run(scale, mib_per_s);
        for (int i = 0; i < scale.rounds; ++i) run.round();
        run.print();
    }
}

}  // namespace drover::bench
