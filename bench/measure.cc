#include "bench/measure.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include <fcntl.h>
#include <unistd.h>

namespace drover::bench {

double now_us() {
    using Micros = std::chrono::duration<double, std::micro>;
    return Micros(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_us() {
    timespec spent{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) * 1e6 + static_cast<double>(spent.tv_nsec) / 1e3;
}

void fail(const std::string& what) {
    std::fprintf(stderr, "bench: %s\n", what.c_str());
    std::exit(1);
}

double quantile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    const auto last = static_cast<double>(values.size() - 1);
    const auto at = static_cast<std::ptrdiff_t>(std::llround(share * last));
    std::nth_element(values.begin(), values.begin() + at, values.end());
    return values[static_cast<std::size_t>(at)];
}

std::string grouped(double value) {
    std::string text = std::to_string(std::llround(value));
    for (std::size_t at = text.size(); at > 3;) {
        at -= 3;
        text.insert(at, 1, ',');
    }
    return text;
}

std::uint64_t resident_bytes() {
    std::ifstream in("/proc/self/statm");
    std::uint64_t total_pages = 0;
    std::uint64_t resident_pages = 0;
    in >> total_pages >> resident_pages;
    return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double fdatasync_us(const std::string& directory) {
    constexpr int rounds = 300;
    const std::string path = directory + "/fdatasync-probe";
    const int file =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) fail("cannot create " + path);
    const std::array<char, 512> block{};
    std::vector<double> times;
    for (int i = 0; i < rounds; ++i) {
        const double started = now_us();
        if (::write(file, block.data(), block.size()) < 0 || ::fdatasync(file) != 0)
            fail("cannot write " + path);
        times.push_back(now_us() - started);
    }
    ::close(file);
    ::unlink(path.c_str());
    return median(std::move(times));
}

}  // namespace drover::bench
