/// The writer of the cutover benchmark: scattered 4 KiB writes around the page cache, a flush after
/// every eight, at a given rate, until SIGTERM. It knows what was acknowledged to it, and when.
///
///   disk-writer write DEVICE MIB_PER_S SEED PID_FILE REPORT   a few blocks are written much more
///   often than the rest
///   disk-writer lost REPORT DEVICE       how many acknowledged writes DEVICE does not hold
///   disk-writer differ DEVICE DEVICE     how many blocks of 4 KiB differ
///
/// REPORT: a line with the time of the last acknowledged flush in microseconds since 1970 and the
/// number of acknowledged writes; then for each block written its number and its last content's.
#include "base/clock.h"
#include "base/fd.h"
#include "bench/loop_disk.h"
#include "bench/measure.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::uint64_t block_bytes = 4096;
constexpr std::size_t writes_per_flush = 8;

volatile std::sig_atomic_t stop_asked = 0;

Fd open_disk(const std::string& path, int flags) {
    Fd disk(::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC));
    if (!disk.valid()) fail("cannot open " + path + ": " + std::strerror(errno));
    return disk;
}

std::uint64_t size_of(const Fd& disk) {
    return static_cast<std::uint64_t>(::lseek(disk.get(), 0, SEEK_END));
}

void sleep_until(double at_us) {
    const double left = at_us - now_us();
    if (left < 50) return;
    const timespec pause{static_cast<time_t>(left / 1e6),
                         static_cast<long>(std::fmod(left, 1e6) * 1e3)};
    ::nanosleep(&pause, nullptr);
}

/// Blocks of a disk by a law of powers, its most wanted ones scattered all over it.
class Choice {
  public:
    Choice(std::uint64_t blocks, std::uint64_t seed)
        : blocks_(blocks),
          x_(seed * 0x9E3779B97F4A7C15U + 1) {}

    std::uint64_t next() {
        x_ ^= x_ << 13;
        x_ ^= x_ >> 7;
        x_ ^= x_ << 17;
        const double share = static_cast<double>(x_ >> 11) / 9007199254740992.0;
        const auto rank =
            static_cast<std::uint64_t>(std::pow(share, 4) * static_cast<double>(blocks_));
        return rank * 2'654'435'761U % blocks_;
    }

  private:
    std::uint64_t blocks_;
    std::uint64_t x_;
};

struct Acknowledged {
    std::map<std::uint64_t, std::uint64_t> content_of;  ///< block: number of its content
    std::uint64_t writes = 0;
    WallMicros last_micros = 0;
};

Acknowledged write_until_stopped(Fd disk, double bytes_per_us, std::uint64_t seed) {
    Acknowledged all;
    Choice choice(size_of(disk) / block_bytes, seed);
    PageBuffer buffer(block_bytes);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> group;
    std::uint64_t content = seed << 32;
    double due_us = now_us();
    const SystemClock clock;
    while (stop_asked == 0) {
        group.clear();
        for (std::size_t i = 0; i < writes_per_flush; ++i) {
            buffer.fill(++content);
            const std::uint64_t block = choice.next();
            if (::pwrite(disk.get(), buffer.data(), block_bytes,
                         static_cast<off_t>(block * block_bytes)) != block_bytes)
                fail(std::string("a write was refused: ") + std::strerror(errno));
            group.emplace_back(block, content);
        }
        if (::fdatasync(disk.get()) != 0) fail("a flush was refused");
        all.last_micros = clock.wall_micros();
        all.writes += group.size();
        for (const auto& [block, number] : group) all.content_of[block] = number;
        // What it is behind it may catch up, but not more than a moment's worth.
        due_us =
            std::max(due_us + static_cast<double>(writes_per_flush * block_bytes) / bytes_per_us,
                     now_us() - 100'000);
        sleep_until(due_us);
    }
    return all;
}

int write(char** words) {
    const std::string pid_file = words[3];
    Fd disk = open_disk(words[0], O_RDWR);
    std::signal(SIGTERM, [](int) { stop_asked = 1; });
    std::ofstream(pid_file) << ::getpid() << '\n';
    const double bytes_per_us = std::atof(words[1]) * 1048576 / 1e6;
    const Acknowledged all =
        write_until_stopped(std::move(disk), bytes_per_us, std::strtoull(words[2], nullptr, 10));
    // The disk is closed: whoever waits for that need not wait for the report.
    ::unlink(pid_file.c_str());
    std::ofstream report(std::string(words[4]) + ".new");
    report << all.last_micros << ' ' << all.writes << '\n';
    for (const auto& [block, number] : all.content_of) report << block << ' ' << number << '\n';
    report.close();
    return report && std::rename((std::string(words[4]) + ".new").c_str(), words[4]) == 0 ? 0 : 1;
}

void read_block(const Fd& disk, std::uint64_t block, PageBuffer& into) {
    if (::pread(disk.get(), into.data(), into.size(), static_cast<off_t>(block * block_bytes)) !=
        static_cast<ssize_t>(into.size()))
        fail("cannot read a disk");
}

int lost(char** words) {
    std::ifstream report(words[0]);
    const Fd disk = open_disk(words[1], O_RDONLY);
    PageBuffer wanted(block_bytes);
    PageBuffer found(block_bytes);
    std::uint64_t block = 0;
    std::uint64_t number = 0;
    std::uint64_t missing = 0;
    report >> block >> number;
    while (report >> block >> number) {
        wanted.fill(number);
        read_block(disk, block, found);
        missing += std::memcmp(wanted.data(), found.data(), block_bytes) != 0 ? 1 : 0;
    }
    std::printf("%llu\n", static_cast<unsigned long long>(missing));
    return 0;
}

int differ(char** words) {
    constexpr std::uint64_t step_blocks = 1024;
    const Fd one = open_disk(words[0], O_RDONLY);
    const Fd other = open_disk(words[1], O_RDONLY);
    PageBuffer ours(step_blocks * block_bytes);
    PageBuffer theirs(step_blocks * block_bytes);
    std::uint64_t differing = 0;
    const std::uint64_t blocks = size_of(one) / block_bytes;
    for (std::uint64_t block = 0; block + step_blocks <= blocks; block += step_blocks) {
        read_block(one, block, ours);
        read_block(other, block, theirs);
        if (std::memcmp(ours.data(), theirs.data(), ours.size()) == 0) continue;
        for (std::size_t at = 0; at < ours.size(); at += block_bytes)
            differing +=
                std::memcmp(ours.data() + at, theirs.data() + at, block_bytes) != 0 ? 1 : 0;
    }
    std::printf("%llu\n", static_cast<unsigned long long>(differing));
    return 0;
}

int run(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "write" && argc == 7) return write(argv + 2);
    if (what == "lost" && argc == 4) return lost(argv + 2);
    if (what == "differ" && argc == 4) return differ(argv + 2);
    fail(
        "usage: disk-writer write DEVICE MIB_PER_S SEED PID_FILE REPORT | lost REPORT DEVICE | "
        "differ DEVICE DEVICE");
}

}  // namespace
}  // namespace drover::bench

int main(int argc, char** argv) {
    return drover::bench::run(argc, argv);
}
