#include "agent/change_map.h"

#include <mutex>
#include <utility>

namespace drover::agent {
namespace {

/// A millisecond apart. On a disk with 100,000 writes a second about one in a hundred finds a gap.
constexpr int audits_max = 2000;

}  // namespace

Error change_map_lost(const std::string& why) {
    return Error(Errc::conflict, "change_map_lost",
                 "which blocks the target's users wrote is not known: " + why,
                 "all data on both sides",
                 "go on without it: nothing can be compared during this hold, and a rollback "
                 "cannot keep the target's writes");
}

Result<ChangeMap::Tracker> ChangeMap::open(const std::string& path, std::size_t index) const {
    if (!parts_.config.allow_ebpf)
        return change_map_lost("agent.toml says tracker.kind = \"scan\"");
    TRY(const auto device, parts_.host.open_disk(path, replicator::Access::read_only));
    if (auto able = parts_.host.can_track_blocks(device->facts()); !able)
        return change_map_lost(able.error().detail());
    replicator::TrackerOptions options;
    options.job = job_;
    // Behind the numbers of the ticket's disks: both agents of a job may run on one host.
    options.disk = static_cast<std::uint32_t>(disks_max + index);
    options.state_directory = parts_.paths.job(job_, Side::target) / "changes";
    options.boot_id = parts_.host.identity().boot_id;
    std::string why_not_ebpf;
    TRY(Tracker tracker, parts_.host.attach_tracker(*device, options, &why_not_ebpf));
    // A scan would have to know what the disk held before.
    if (tracker->kind() == "ebpf") return tracker;
    tracker->forget();
    return change_map_lost(why_not_ebpf);
}

/// What an earlier activation, or an earlier attempt at this one, left behind is of no use.
Result<ChangeMap::Tracker> ChangeMap::open_anew(const std::string& path, std::size_t index) const {
    TRY(Tracker found, open(path, index));
    if (!found->resumed()) return found;
    found->forget();
    found.reset();
    return open(path, index);
}

Result<std::vector<std::string>> ChangeMap::attach(const std::vector<std::string>& disks) {
    const std::lock_guard lock(mutex_);
    forget_attached();
    std::vector<std::string> generations;
    for (std::size_t i = 0; i < disks.size(); ++i) {
        auto tracker = open_anew(disks[i], i);
        if (!tracker) {
            forget_attached();
            if (tracker.error().id() == "change_map_lost") return tracker.error();
            return change_map_lost(tracker.error().text());
        }
        generations.push_back((*tracker)->generation().hex());
        trackers_.push_back(std::move(*tracker));
    }
    return generations;
}

Result<> ChangeMap::resume(const std::vector<std::string>& generations, const std::string& boot_id,
                           const std::vector<std::string>& disks) {
    const std::lock_guard lock(mutex_);
    if (!trackers_.empty()) return {};
    if (generations.size() != disks.size()) return change_map_lost("nothing was attached");
    if (boot_id != parts_.host.identity().boot_id)
        return change_map_lost("the host was booted since the activation");
    std::vector<Tracker> found;
    for (std::size_t i = 0; i < disks.size(); ++i) {
        TRY(Tracker tracker, open(disks[i], i));
        const bool same = tracker->resumed() && tracker->generation().hex() == generations[i];
        if (!same) {
            tracker->forget();
            return change_map_lost("the tracker of " + disks[i] + " did not survive");
        }
        found.push_back(std::move(tracker));
    }
    trackers_.swap(found);
    return {};
}

bool ChangeMap::is_attached() const {
    const std::lock_guard lock(mutex_);
    return !trackers_.empty();
}

/// All of a disk is dirty once its audit was lost: still true, and of no use to anybody.
Result<> ChangeMap::judge(const replicator::Audit& audit) {
    if (audit.verdict == replicator::Audit::Verdict::lost) lost_ = change_map_lost(audit.detail);
    return lost_ ? Result<>(*lost_) : Result<>();
}

Result<> ChangeMap::look() {
    const std::lock_guard lock(mutex_);
    for (const Tracker& tracker : trackers_) {
        TRY(const replicator::Audit audit, tracker->audit());
        TRY_VOID(judge(audit));
    }
    return {};
}

Result<> ChangeMap::audit() {
    const std::lock_guard lock(mutex_);
    if (trackers_.empty()) return change_map_lost("nothing is attached");
    for (const Tracker& tracker : trackers_) {
        auto verdict = replicator::Audit::Verdict::busy;
        for (int i = 0; i < audits_max && verdict == replicator::Audit::Verdict::busy; ++i) {
            if (i > 0) parts_.host.wait_ms(1);
            TRY(const replicator::Audit audit, tracker->audit());
            verdict = audit.verdict;
            TRY_VOID(judge(audit));
        }
        if (verdict == replicator::Audit::Verdict::busy)
            return Error(Errc::unavailable, "change_map_busy",
                         "the target's disks are written without a moment's rest",
                         "all data on both sides", "retry");
    }
    return {};
}

replicator::BlockMap ChangeMap::dirty(std::size_t disk) const {
    const std::lock_guard lock(mutex_);
    return disk < trackers_.size() ? trackers_[disk]->dirty() : replicator::BlockMap();
}

bool ChangeMap::may_be_written(std::size_t disk, std::uint64_t first_block,
                               std::uint64_t blocks) const {
    const std::lock_guard lock(mutex_);
    return disk >= trackers_.size() || trackers_[disk]->may_be_written(first_block, blocks);
}

std::uint64_t ChangeMap::bytes() const {
    const std::lock_guard lock(mutex_);
    std::uint64_t total = 0;
    for (const Tracker& tracker : trackers_)
        total += tracker->dirty().count() * replicator::block_bytes;
    return total;
}

std::vector<ChangeMap::Tracker> ChangeMap::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(trackers_, {});
}

void ChangeMap::forget_attached() {
    for (const Tracker& tracker : trackers_) tracker->forget();
    trackers_.clear();
    lost_.reset();
}

void ChangeMap::forget(const std::vector<std::string>& disks) {
    const std::lock_guard lock(mutex_);
    if (trackers_.empty()) {
        // Of a disk that is gone, or was never tracked, there is nothing to end.
        for (std::size_t i = 0; i < disks.size(); ++i)
            if (auto left = open(disks[i], i)) (*left)->forget();
        return;
    }
    forget_attached();
}

}  // namespace drover::agent
