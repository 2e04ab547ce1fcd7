#include "bench/copy_tools.h"
#include "bench/loop_disk.h"
#include "bench/measure.h"
#include "bench/replica_bench.h"
#include "bench/replica_pair.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>

#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t live_disk_mib = 1024;

/// What fio says of one run, and what the replicas used meanwhile.
struct Run {
    double written_bytes = 0;
    double fsync_p50_us = 0;
    double fsync_p99_us = 0;
    double source_cpu = 0;  ///< share of one core
    double target_cpu = 0;
    double wire_bytes = 0;
    double changed_bytes = 0;
    double losses = 0;
};

/// Processor time of another process, in microseconds.
double cpu_us_of(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    // From after the name, which may hold blanks: user and system time are fields 14 and 15.
    std::size_t at = line.rfind(')') + 1;
    for (int field = 3; field < 14; ++field) at = line.find(' ', at + 1);
    char* after = nullptr;
    const double user = std::strtod(line.c_str() + at, &after);
    const double system = std::strtod(after, nullptr);
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK)) * 1e6;
}

class LiveRun {
  public:
    LiveRun(const ReplicaScale& scale, const std::string& disks, std::uint64_t mib_per_s)
        : scale_(scale),
          mib_per_s_(mib_per_s),
          size_(live_disk_mib * mib),
          source_(disks, size_),
          target_(scale.memory_directory, size_) {
        source_.fill(0, size_, 1);
    }

    void round() {
        without_.push_back(write(nullptr));
        Pair pair({source_.path(), target_.path(), scale_.directory + "/pair", true});
        pair.start_source();
        (void)pair.wait_mirrored();
        pair.drain();
        with_.push_back(write(&pair));
        pair.drain();
        if (source_.bytes_that_differ(target_) != 0) fail("the copy of a live disk differs");
    }

    void print(const std::string& where) const {
        const auto of = [](const std::vector<Run>& runs, double Run::*figure) {
            std::vector<double> values;
            for (const Run& run : runs) values.push_back(run.*figure);
            return median(values);
        };
        const double seconds = scale_.live_seconds;
        const double p99_without = of(without_, &Run::fsync_p99_us);
        const double p99_with = of(with_, &Run::fsync_p99_us);
        const double wire = of(with_, &Run::wire_bytes);
        std::printf(
            "| %s | %llu | %.1f, %.1f | %.0f, %.0f | %.0f, %.0f | %.2f | %.0f %%, %.0f %% | "
            "%.2f | %.2f | %.0f |\n",
            where.c_str(), static_cast<unsigned long long>(mib_per_s_),
            of(without_, &Run::written_bytes) / seconds / mib,
            of(with_, &Run::written_bytes) / seconds / mib, of(without_, &Run::fsync_p50_us),
            of(with_, &Run::fsync_p50_us), p99_without, p99_with, p99_with / p99_without,
            of(with_, &Run::source_cpu) * 100, of(with_, &Run::target_cpu) * 100,
            wire / of(with_, &Run::written_bytes), wire / of(with_, &Run::changed_bytes),
            of(with_, &Run::losses));
        std::fflush(stdout);
    }

  private:
    [[nodiscard]] std::string fio_command(const std::string& json) const {
        return "fio --name=live --filename=" + source_.path() +
               " --rw=randwrite --bs=4k --direct=1 --ioengine=psync --fsync=8 --norandommap "
               "--random_distribution=zipf:1.1 --time_based --allow_mounted_write=1 --rate=" +
               std::to_string(mib_per_s_) +
               "m --runtime=" + std::to_string(static_cast<int>(scale_.live_seconds)) +
               " --output-format=json --output=" + json;
    }

    Run write(Pair* pair) {
        const std::string json = scale_.directory + "/fio.json";
        const std::string figures = scale_.directory + "/fio.figures";
        const std::string log = scale_.directory + "/fio.log";
        const Progress progress = pair ? settled_progress(*pair) : Progress();
        const double wire = pair ? static_cast<double>(pair->wire_bytes()) : 0;
        const double source_cpu = cpu_us();
        const double target_cpu = pair ? cpu_us_of(pair->target_pid()) : 0;
        const double micros = seconds_of(fio_command(json), log) * 1e6;
        Run run;
        if (pair) {
            run.source_cpu = (cpu_us() - source_cpu) / micros;
            run.target_cpu = (cpu_us_of(pair->target_pid()) - target_cpu) / micros;
            pair->drain();
            const Progress now = settled_progress(*pair);
            run.wire_bytes = static_cast<double>(pair->wire_bytes()) - wire;
            run.changed_bytes = static_cast<double>(now.bytes_changed - progress.bytes_changed);
            run.losses = static_cast<double>(now.tracker_losses - progress.tracker_losses);
        }
        (void)seconds_of(
            "sh -c 'jq -r \".jobs[0] | .write.io_bytes, "
            "(.sync.lat_ns.percentile | .[\\\"50.000000\\\"], .[\\\"99.000000\\\"])\" " +
                json + " >" + figures + "'",
            log);
        std::ifstream in(figures);
        in >> run.written_bytes >> run.fsync_p50_us >> run.fsync_p99_us;
        if (!in) fail("cannot read what fio said: " + json);
        run.fsync_p50_us /= 1e3;
        run.fsync_p99_us /= 1e3;
        return run;
    }

    /// The figures come every half second.
    static Progress settled_progress(Pair& pair) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1'200));
        return pair.last_progress();
    }

    const ReplicaScale& scale_;
    std::uint64_t mib_per_s_;
    std::uint64_t size_;
    LoopDisk source_;
    LoopDisk target_;
    std::vector<Run> without_;
    std::vector<Run> with_;
};

}  // namespace

void bench_live(const ReplicaScale& scale) {
    std::printf(
        "\nA writer on the source (fio, 4 KiB, zipf 1.1, fsync after 8) for %.0f s without "
        "and with the agents, whose target shares the two cores; medians of %d rounds; "
        "every copy byte-compared. Pairs: without, with; source, target.\n\n",
        scale.live_seconds, scale.rounds);
    std::printf(
        "| source disk | MiB/s wanted | MiB/s | fsync p50 us | fsync p99 us | p99 with : "
        "without | CPU of a core | wire : written | wire : found changed | events lost, "
        "repaired |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (const std::uint64_t mib_per_s : scale.live_mib_per_s) {
        LiveRun run(scale, scale.memory_directory, mib_per_s);
        for (int i = 0; i < scale.rounds; ++i) run.round();
        run.print("memory");
    }
    LiveRun run(scale, scale.directory, 20);
    for (int i = 0; i < scale.rounds; ++i) run.round();
    run.print("disk");
}

}  // namespace drover::bench
