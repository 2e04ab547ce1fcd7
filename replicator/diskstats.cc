#include "replicator/diskstats.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace drover::replicator {

namespace {

// Positions in the `stat` file, counted from 0.
constexpr std::size_t field_written = 6;
constexpr std::size_t field_discarded = 13;

/// The numbers of one line of blank-separated fields; stops at the first thing that is none.
std::vector<std::uint64_t> numbers_in(std::string_view text) {
    std::vector<std::uint64_t> numbers;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        if (*at == ' ') {
            ++at;
            continue;
        }
        std::uint64_t number = 0;
        const auto [next, problem] = std::from_chars(at, end, number);
        if (problem != std::errc{}) break;
        numbers.push_back(number);
        at = next;
    }
    return numbers;
}

/// sysfs files are made anew at every read from offset 0 and are shorter than a page.
Result<std::string> read_attribute(const Fd& fd, std::string_view name) {
    std::array<char, 4096> text{};
    const ssize_t got = ::pread(fd.get(), text.data(), text.size(), 0);
    if (got < 0) return errno_error(errno, "read", name);
    return std::string(text.data(), static_cast<std::size_t>(got));
}

Result<Fd> open_attribute(const std::filesystem::path& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    return fd;
}

}  // namespace

std::filesystem::path disk_directory(std::uint32_t major, std::uint32_t minor) {
    return "/sys/dev/block/" + std::to_string(major) + ":" + std::to_string(minor);
}

std::string first_line(const std::filesystem::path& file) {
    const auto text = read_text(file, 4096);
    if (!text) return {};
    return text->substr(0, text->find('\n'));
}

std::string disk_attribute(std::uint32_t major, std::uint32_t minor, std::string_view name) {
    return first_line(disk_directory(major, minor) / name);
}

Result<SectorCounts> parse_stat(std::string_view text) {
    const std::vector<std::uint64_t> fields = numbers_in(text);
    if (fields.size() <= field_written)
        return Error(Errc::corrupt, "disk_stat_unreadable",
                     "a disk's stat file has " + std::to_string(fields.size()) + " fields");
    if (fields.size() <= field_discarded)
        return Error(Errc::unsupported, "ebpf_unsupported",
                     "the kernel does not count discarded sectors");
    return SectorCounts{fields[field_written], fields[field_discarded]};
}

Result<DiskStats> DiskStats::open(std::uint32_t major, std::uint32_t minor) {
    DiskStats stats;
    stats.directory_ = disk_directory(major, minor);
    TRY(stats.stat_, open_attribute(stats.directory_ / "stat"));
    TRY(stats.inflight_, open_attribute(stats.directory_ / "inflight"));
    TRY(stats.iostats_, open_attribute(stats.directory_ / "queue/iostats"));
    return stats;
}

Result<SectorCounts> DiskStats::completed() const {
    TRY(const std::string text, read_attribute(stat_, "stat"));
    return parse_stat(text);
}

Result<std::uint64_t> DiskStats::writes_in_flight() const {
    TRY(const std::string text, read_attribute(inflight_, "inflight"));
    const std::vector<std::uint64_t> reads_and_writes = numbers_in(text);
    if (reads_and_writes.size() != 2)
        return Error(Errc::corrupt, "disk_stat_unreadable", "a disk's inflight file reads " + text);
    return reads_and_writes[1];
}

Result<bool> DiskStats::accounting_on() const {
    TRY(const std::string text, read_attribute(iostats_, "queue/iostats"));
    return text.starts_with('1');
}

Result<> DiskStats::switch_accounting_on() const {
    TRY(const bool already_on, accounting_on());
    if (already_on) return {};
    const std::filesystem::path path = directory_ / "queue/iostats";
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    const bool written = fd.valid() && ::write(fd.get(), "1", 1) == 1;
    TRY(const bool now_on, accounting_on());
    if (!written || !now_on)
        return Error(Errc::unsupported, "ebpf_unsupported",
                     "the kernel's I/O accounting of this disk is off and cannot be switched on (" +
                         path.native() + ")");
    return {};
}

}  // namespace drover::replicator
