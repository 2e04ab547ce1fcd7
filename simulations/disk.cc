#include "simulations/disk.h"

#include "base/assert.h"
#include "replicator/device_range.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace drover::sim {
namespace {

using replicator::block_bytes;

constexpr std::uint64_t stat_sector_bytes = 512;

Version last_version = 0;

/// Calls `apply(block)` for every bit of `words`, in order.
template <class Apply>
void for_each_block(const std::vector<std::uint64_t>& words, Apply apply) {
    for (std::size_t at = 0; at < words.size(); ++at)
        for (std::uint64_t bits = words[at]; bits != 0; bits &= bits - 1)
            apply(64 * at + static_cast<std::size_t>(std::countr_zero(bits)));
}

Error failed(std::string_view action, const std::string& path, const char* why) {
    return Error(Errc::io, "disk_" + std::string(action) + "_failed", path + ": " + why);
}

Error dead() {
    return Error(Errc::cancelled, "file_error", "the process is dead");
}

/// The part of a block's bytes that begins `within` it.
void copy_out(Version version, std::size_t within, std::span<std::uint8_t> out) {
    std::memset(out.data(), 0, out.size());
    for (std::size_t at = within; at < sizeof(Version) && at - within < out.size(); ++at)
        out[at - within] = static_cast<std::uint8_t>(version >> (8 * at));
}

/// Bytes that no block of the simulation has were invented on the way: that ends it.
Version version_of(ByteView block) {
    constexpr std::size_t rest = sizeof(Version);
    DROVER_ASSERT(block[rest] == 0);
    DROVER_ASSERT(std::memcmp(&block[rest], &block[rest + 1], block.size() - rest - 1) == 0);
    return get_u64(block, 0);
}

class SimulatedDevice final : public replicator::BlockDevice {
  public:
    SimulatedDevice(Disk& disk, replicator::Access access)
        : disk_(disk),
          diskseq_(disk.diskseq),
          may_write_(access == replicator::Access::read_write) {
        facts_.path = disk.path;
        facts_.identity = disk.identity;
        facts_.size_bytes = disk.blocks() * block_bytes;
        facts_.is_block_device = true;
    }

    [[nodiscard]] const replicator::DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override;
    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] Result<> flush() override;
    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override;

  private:
    [[nodiscard]] Result<> begin(std::string_view operation);
    [[nodiscard]] Result<> begin_write(std::uint64_t offset, std::uint64_t length);
    [[nodiscard]] Result<> check_attached(std::string_view action) const;

    Disk& disk_;
    const std::uint64_t diskseq_;
    const bool may_write_;
    replicator::DeviceFacts facts_;
};

Result<> SimulatedDevice::check_attached(std::string_view action) const {
    if (!caller_is_alive()) return dead();
    if (disk_.present && disk_.diskseq == diskseq_) return {};
    return failed(action, disk_.path, "the disk is gone");
}

/// Everything before the effect: the time it takes, and what may prevent it.
Result<> SimulatedDevice::begin(std::string_view operation) {
    const std::string_view action = operation.substr(std::string_view("disk.").size());
    TRY_VOID(check_attached(action));
    TRY_VOID(Environment::current().attempt(operation, disk_.path));
    if (disk_.io_time > 0) Scheduler::current().sleep(disk_.io_time);
    return check_attached(action);
}

Result<> SimulatedDevice::begin_write(std::uint64_t offset, std::uint64_t length) {
    replicator::assert_range(facts_, offset, length);
    DROVER_ASSERT(may_write_);
    DROVER_ASSERT(offset % block_bytes == 0 && length % block_bytes == 0);
    if (!caller_is_alive()) return dead();
    Environment::current().step("disk.before_write");
    TRY_VOID(begin("disk.write"));
    // BLKROSET stops whoever writes to the device itself.
    if (disk_.read_only) return failed("write", disk_.path, "it is read-only");
    return {};
}

Result<> SimulatedDevice::read(std::uint64_t offset, std::span<std::uint8_t> out) {
    replicator::assert_range(facts_, offset, out.size());
    TRY_VOID(begin("disk.read"));
    const std::vector<Version>& blocks = disk_.now();
    while (!out.empty()) {
        const std::size_t within = offset % block_bytes;
        const std::size_t length = std::min<std::size_t>(block_bytes - within, out.size());
        copy_out(blocks[offset / block_bytes], within, out.first(length));
        out = out.subspan(length);
        offset += length;
    }
    Environment::current().step("disk.read");
    return {};
}

Result<> SimulatedDevice::write(std::uint64_t offset, ByteView data) {
    TRY_VOID(begin_write(offset, data.size()));
    for (; !data.empty(); data = data.subspan(block_bytes), offset += block_bytes) {
        const bool flips = disk_.flip_writes > 0;
        if (flips) --disk_.flip_writes;
        const Version given = version_of(data.first(block_bytes));
        disk_.write(offset / block_bytes, flips ? next_version() : given);
    }
    Environment::current().step("disk.written");
    return {};
}

Result<> SimulatedDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
    TRY_VOID(begin_write(offset, length));
    for (std::uint64_t at = offset; at < offset + length; at += block_bytes)
        disk_.write(at / block_bytes, 0);
    Environment::current().step("disk.written");
    return {};
}

Result<> SimulatedDevice::flush() {
    if (const auto begun = begin("disk.flush"); !begun) {
        // The kernel says so once and gives up what it could not write: the next flush succeeds.
        if (caller_is_alive()) disk_.drop_unsynced();
        return begun;
    }
    disk_.flush();
    Environment::current().step("disk.flushed");
    return {};
}

Result<std::uint64_t> SimulatedDevice::present_size_bytes() {
    TRY_VOID(check_attached("read"));
    return disk_.blocks() * block_bytes;
}

constexpr Micros audit_time = 50;

class SimulatedTracker final : public replicator::ChangeTracker {
  public:
    SimulatedTracker(Disk& disk, std::shared_ptr<KernelTracking> kernel)
        : disk_(disk),
          kernel_(std::move(kernel)) {}

    [[nodiscard]] std::string_view kind() const override { return "ebpf"; }

    [[nodiscard]] const Generation& generation() const override { return kernel_->generation; }

    [[nodiscard]] bool resumed() const override { return resumed_; }

    [[nodiscard]] replicator::BlockMap dirty() override {
        return {kernel_->dirty.data(), disk_.blocks()};
    }

    [[nodiscard]] Result<> refresh() override { return {}; }

    void observe(std::uint64_t, ByteView) override {}

    [[nodiscard]] std::uint64_t observe_bytes() const override { return block_bytes; }

    [[nodiscard]] std::uint64_t seq() override { return disk_.writes; }

    [[nodiscard]] Result<replicator::Audit> audit() override;
    void forget() override;

    void resume() { resumed_ = true; }

  private:
    Disk& disk_;
    std::shared_ptr<KernelTracking> kernel_;
    bool resumed_ = false;
};

/// A repair makes exactly the missed blocks dirty: less than the product does, which marks all that
/// was issued since, so that nothing is dirty here by luck.
Result<replicator::Audit> SimulatedTracker::audit() {
    // Reading the kernel's counters takes a moment, in which other threads go on.
    Scheduler::current().sleep(audit_time);
    if (!caller_is_alive()) return dead();
    if (!disk_.present) return failed("read", disk_.path, "the disk is gone");
    replicator::Audit audit;
    KernelTracking& kernel = *kernel_;
    if (kernel.missed_count == 0) return audit;
    audit.lost_sectors = kernel.missed_count * (block_bytes / stat_sector_bytes);
    audit.detail = std::to_string(audit.lost_sectors) + " sectors completed without an event";
    replicator::BlockMap map = dirty();
    if (kernel.issue_lost) {
        audit.verdict = replicator::Audit::Verdict::lost;
        map.set_all();
    } else {
        audit.verdict = replicator::Audit::Verdict::repaired;
        for (std::size_t block = 0; block < kernel.missed.size(); ++block)
            if (kernel.missed[block]) map.set(block, 1);
    }
    kernel.missed.assign(kernel.missed.size(), false);
    kernel.missed_count = 0;
    kernel.issue_lost = false;
    return audit;
}

void SimulatedTracker::forget() {
    if (caller_is_alive()) std::erase(disk_.tracking, kernel_);
}

std::shared_ptr<KernelTracking> begin_tracking(const Disk& disk, const JobId& job,
                                               const Generation& fresh) {
    auto kernel = std::make_shared<KernelTracking>();
    kernel->job = job;
    kernel->generation = fresh;
    kernel->identity = disk.identity;
    kernel->diskseq = disk.diskseq;
    kernel->dirty.resize(replicator::words_of(disk.blocks()));
    kernel->missed.resize(disk.blocks());
    return kernel;
}

}  // namespace

Version next_version() {
    return ++last_version;
}

void reset_versions() {
    last_version = 0;
}

bool caller_is_alive() {
    const Scheduler& scheduler = Scheduler::current();
    const ProcessId process = scheduler.running_process();
    return process == no_process || scheduler.is_alive(process);
}

Disk::Disk(std::string a_path, std::string an_identity, std::uint64_t blocks)
    : path(std::move(a_path)),
      identity(std::move(an_identity)),
      now_(blocks),
      durable_(blocks),
      unsynced_(replicator::words_of(blocks)) {}

void Disk::write(std::uint64_t block, Version version) {
    DROVER_ASSERT(block < now_.size());
    now_[block] = version;
    unsynced_[block / 64] |= std::uint64_t{1} << (block % 64);
    ++writes;
    ++write_mark;
    track(block);
}

void Disk::track(std::uint64_t block) {
    if (tracking.empty()) return;
    const bool is_lost = lose_completions > 0;
    if (is_lost) --lose_completions;
    for (const auto& kernel : tracking) {
        if (!is_lost) {
            kernel->dirty[block / 64] |= std::uint64_t{1} << (block % 64);
            continue;
        }
        kernel->missed[block] = true;
        ++kernel->missed_count;
        kernel->issue_lost = kernel->issue_lost || lose_issues;
    }
}

void Disk::flush() {
    for_each_block(unsynced_, [this](std::size_t block) { durable_[block] = now_[block]; });
    std::fill(unsynced_.begin(), unsynced_.end(), 0);
}

void Disk::drop_unsynced() {
    for_each_block(unsynced_, [this](std::size_t block) { now_[block] = durable_[block]; });
    std::fill(unsynced_.begin(), unsynced_.end(), 0);
}

void Disk::lose_power(Dice& dice) {
    for_each_block(unsynced_, [this, &dice](std::size_t block) {
        enum : std::uint64_t { kept, lost, torn, outcomes };

        const std::uint64_t outcome = dice.below(outcomes);
        if (outcome == lost) now_[block] = durable_[block];
        if (outcome == torn) now_[block] = next_version();
        durable_[block] = now_[block];
    });
    std::fill(unsynced_.begin(), unsynced_.end(), 0);
}

void Disk::rot(std::uint64_t block) {
    DROVER_ASSERT(block < now_.size());
    now_[block] = next_version();
    durable_[block] = now_[block];
}

void Disk::forget_boot() {
    read_only = false;
    mounted = false;
    writes = 0;
    write_mark = 0;
    tracking.clear();
    guard.clear();
}

std::unique_ptr<replicator::BlockDevice> open_simulated(Disk& disk, replicator::Access access) {
    return std::make_unique<SimulatedDevice>(disk, access);
}

std::unique_ptr<replicator::ChangeTracker> track_simulated(Disk& disk, const JobId& job,
                                                           const Generation& fresh) {
    const auto found = std::find_if(disk.tracking.begin(), disk.tracking.end(),
                                    [&](const auto& kernel) { return kernel->job == job; });
    if (found != disk.tracking.end()) {
        auto tracker = std::make_unique<SimulatedTracker>(disk, *found);
        const bool is_same_disk =
            (*found)->identity == disk.identity && (*found)->diskseq == disk.diskseq;
        const auto audit = tracker->audit();
        if (is_same_disk && audit && audit->verdict != replicator::Audit::Verdict::lost) {
            tracker->resume();
            return tracker;
        }
        tracker->forget();
    }
    auto kernel = begin_tracking(disk, job, fresh);
    disk.tracking.push_back(kernel);
    return std::make_unique<SimulatedTracker>(disk, std::move(kernel));
}

}  // namespace drover::sim
