#include "agent/doctor_look.h"

#include "base/clock.h"
#include "replicator/diskstats.h"
#include "replicator/journal_file.h"

#include <charconv>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

std::optional<Error> refusal(const Result<>& outcome) {
    if (outcome) return std::nullopt;
    return outcome.error();
}

/// The directory itself, or the nearest one above it that exists.
fs::path nearest_directory(fs::path path) {
    std::error_code failed;
    while (path.has_relative_path() && !fs::is_directory(path, failed)) path = path.parent_path();
    return path;
}

void look_at_state(HostFacts& facts) {
    const fs::path& state = facts.config.state;
    const fs::path there = nearest_directory(state);
    facts.state_exists = there == state;
    facts.state_writable = ::access(there.c_str(), W_OK | X_OK) == 0;
    facts.state_not_durable = refusal(replicator::check_journal_directory(there));

    struct statvfs room {};

    if (::statvfs(there.c_str(), &room) == 0)
        facts.state_free_bytes = std::uint64_t{room.f_bavail} * room.f_frsize;
}

void look_at_clock(HostFacts& facts) {
    timex now{};
    // With no modes it only asks.
    facts.clock_synchronised = ::adjtimex(&now) != TIME_ERROR && (now.status & STA_UNSYNC) == 0;
    facts.wall_micros = SystemClock().wall_micros();
}

std::uint64_t locked_memory_max() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
    return limit.rlim_cur == RLIM_INFINITY ? ~std::uint64_t{0} : limit.rlim_cur;
}

bool is_read_only(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    int value = 0;
    return fd.valid() && ::ioctl(fd.get(), BLKROGET, &value) == 0 && value != 0;
}

std::uint32_t number_in(const std::string& text) {
    std::uint32_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

void look_at_block_device(const DiskNodes& nodes, DiskView& disk) {
    const BlockNode& whole = nodes.nodes.front();
    disk.kernel_name = whole.name;
    disk.is_read_only = is_read_only(nodes.path);
    disk.physical_sector_bytes = number_in(sysfs_text(whole.device, "queue/physical_block_size"));
    disk.accounting_on = sysfs_text(whole.device, "queue/iostats") == "1";
    for (auto node = nodes.nodes.begin() + 1; node != nodes.nodes.end(); ++node)
        disk.partitions.push_back(node->name);
    disk.above = devices_above(nodes);
}

}  // namespace

Result<FoundConfig> find_config(const fs::path& file) {
    auto config = load_config(file);
    if (config) return FoundConfig{std::move(*config), true};
    if (config.error().code() != Errc::not_found) return std::move(config).error();
    FoundConfig defaults;
    defaults.config.state = default_state_directory;
    return defaults;
}

HostFacts look_at_host(const Result<FoundConfig>& found, HostOps& host, const fs::path& root) {
    HostFacts facts;
    facts.config.state = default_state_directory;
    if (found) {
        facts.config = found->config;
        facts.is_configured = found->exists;
    } else {
        facts.config_refused = found.error();
    }
    facts.kernel = replicator::first_line(root / "proc/sys/kernel/osrelease");
    facts.tracing = replicator::look_at_tracing(root);
    if (replicator::tracing_allowed(facts.tracing))
        facts.attach_refused = refusal(replicator::try_tracepoints());
    facts.memlock_bytes = locked_memory_max();
    look_at_state(facts);
    look_at_clock(facts);
    for (const auto& [name, path] : facts.config.hooks) {
        const auto digest = host.check_hook(name);
        facts.hooks.push_back(
            {name, path, digest ? std::nullopt : std::optional<Error>(digest.error())});
    }
    return facts;
}

DiskView look_at_disk(HostOps& host, const std::string& path) {
    DiskView disk;
    disk.path = path;
    const auto nodes = find_nodes(path);
    const auto found = host.look_up(path);
    if (!nodes || !found) {
        disk.unusable = nodes ? found.error() : nodes.error();
        return disk;
    }
    disk.facts = found->facts;
    disk.not_covered = refusal(replicator::tracepoints_cover(disk.facts));
    if (nodes->is_block)
        look_at_block_device(*nodes, disk);
    else
        disk.is_read_only = ::access(path.c_str(), W_OK) != 0;
    const auto uses = host.uses(path);
    const auto own = host.own_files_on(path);
    if (uses) disk.uses = *uses;
    if (own) disk.own_files = *own;
    if (!uses || !own) disk.uses_unknown = uses ? own.error() : uses.error();
    return disk;
}

}  // namespace drover::agent
