/// The writer of the cutover benchmark: scattered 4 KiB writes around the page cache, a flush after
/// every eight, at a given rate, until SIGTERM. It knows what was acknowledged to it, and when.
///
///   disk-writer write DEVICE MIB_PER_S SEED PID_FILE REPORT   a few blocks are written much more
///   often than the rest
///   disk-writer lost REPORT DEVICE       how many acknowledged writes DEVICE does not hold
///   disk-writer torn REPORT DEVICE       how many blocks of DEVICE, which was blank before, are
///   not as they were at the moment of its newest write disk-writer differ DEVICE DEVICE     how
///   many blocks of 4 KiB differ
///
/// REPORT: a line with the time of the last acknowledged flush in microseconds since 1970 and the
/// number of acknowledged writes; then for each of these, in order, the block's number and its
/// content's. A content begins with its number; each write is the next one, once the last is done.
#include "base/clock.h"
#include "base/fd.h"
#include "bench/loop_disk.h"
#include "bench/measure.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

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

struct Write {
    std::uint64_t block = 0;
    std::uint64_t content = 0;
};

struct Acknowledged {
    std::vector<Write> writes;
    WallMicros last_micros = 0;
};

void fill(PageBuffer& buffer, std::uint64_t content) {
    buffer.fill(content);
    std::memcpy(buffer.data(), &content, sizeof content);
}

Acknowledged write_until_stopped(Fd disk, double bytes_per_us, std::uint64_t seed) {
    Acknowledged all;
    Choice choice(size_of(disk) / block_bytes, seed);
    PageBuffer buffer(block_bytes);
    std::uint64_t content = seed << 32;
    double due_us = now_us();
    const SystemClock clock;
    while (stop_asked == 0) {
        for (std::size_t i = 0; i < writes_per_flush; ++i) {
            fill(buffer, ++content);
            const std::uint64_t block = choice.next();
            if (::pwrite(disk.get(), buffer.data(), block_bytes,
                         static_cast<off_t>(block * block_bytes)) != block_bytes)
                fail(std::string("a write was refused: ") + std::strerror(errno));
            all.writes.push_back({block, content});
        }
        if (::fdatasync(disk.get()) != 0) fail("a flush was refused");
        all.last_micros = clock.wall_micros();
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
    report << all.last_micros << ' ' << all.writes.size() << '\n';
    for (const Write& one : all.writes) report << one.block << ' ' << one.content << '\n';
    report.close();
    return report && std::rename((std::string(words[4]) + ".new").c_str(), words[4]) == 0 ? 0 : 1;
}

void read_block(const Fd& disk, std::uint64_t block, PageBuffer& into) {
    if (::pread(disk.get(), into.data(), into.size(), static_cast<off_t>(block * block_bytes)) !=
        static_cast<ssize_t>(into.size()))
        fail("cannot read a disk");
}

std::vector<Write> writes_of(const char* report) {
    std::ifstream in(report);
    Write one;
    in >> one.block >> one.content;  // when, and how many
    std::vector<Write> writes;
    while (in >> one.block >> one.content) writes.push_back(one);
    if (writes.empty()) fail(std::string("nothing was written, says ") + report);
    return writes;
}

/// Blocks of the disk, of those that were written at all, that do not hold what `upto` and the
/// writes before it left in them; that is zeroes for those that were written only later.
std::uint64_t blocks_not_as_of(const Fd& disk, const std::vector<Write>& writes,
                               std::uint64_t upto) {
    std::map<std::uint64_t, std::uint64_t> held;
    for (const Write& one : writes) {
        std::uint64_t& content = held[one.block];
        if (one.content <= upto) content = one.content;
    }
    PageBuffer wanted(block_bytes);
    PageBuffer found(block_bytes);
    std::uint64_t others = 0;
    for (const auto& [block, content] : held) {
        if (content == 0) std::memset(wanted.data(), 0, block_bytes);
        if (content != 0) fill(wanted, content);
        read_block(disk, block, found);
        others += std::memcmp(wanted.data(), found.data(), block_bytes) != 0 ? 1 : 0;
    }
    return others;
}

int lost(char** words) {
    const std::vector<Write> writes = writes_of(words[0]);
    const Fd disk = open_disk(words[1], O_RDONLY);
    std::printf("%" PRIu64 "\n", blocks_not_as_of(disk, writes, writes.back().content));
    return 0;
}

int torn(char** words) {
    const std::vector<Write> writes = writes_of(words[0]);
    const Fd disk = open_disk(words[1], O_RDONLY);
    std::set<std::uint64_t> blocks;
    for (const Write& one : writes) blocks.insert(one.block);
    std::uint64_t newest = 0;
    PageBuffer found(block_bytes);
    for (const std::uint64_t block : blocks) {
        read_block(disk, block, found);
        std::uint64_t content = 0;
        std::memcpy(&content, found.data(), sizeof content);
        newest = std::max(newest, content);
    }
    std::printf("%" PRIu64 "\n", blocks_not_as_of(disk, writes, newest));
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
    std::printf("%" PRIu64 "\n", differing);
    return 0;
}

int run(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "write" && argc == 7) return write(argv + 2);
    if (what == "lost" && argc == 4) return lost(argv + 2);
    if (what == "torn" && argc == 4) return torn(argv + 2);
    if (what == "differ" && argc == 4) return differ(argv + 2);
    fail(
        "usage: disk-writer write DEVICE MIB_PER_S SEED PID_FILE REPORT | lost REPORT DEVICE | "
        "torn REPORT DEVICE | differ DEVICE DEVICE");
}

}  // namespace
}  // namespace drover::bench

int main(int argc, char** argv) {
    return drover::bench::run(argc, argv);
}
