#include "replicator/tracker.h"

#include "base/file.h"
#include "replicator/ebpf_tracker.h"
#include "replicator/scan_tracker.h"

namespace drover::replicator {

Result<std::unique_ptr<ChangeTracker>> open_tracker(BlockDevice& device,
                                                    const TrackerOptions& options,
                                                    std::string* why_not_ebpf) {
    const auto explain = [&](const std::string& reason) {
        if (why_not_ebpf != nullptr) *why_not_ebpf = reason;
    };
    TRY_VOID(make_directory_durably(options.state_directory));
    if (!options.allow_ebpf) {
        explain("switched off by configuration");
        return ScanTracker::open(device, options);
    }
    if (const auto able = ebpf_can_track(device.facts()); !able) {
        explain(able.error().text());
        return ScanTracker::open(device, options);
    }
    auto tracker = open_ebpf_tracker(device, options);
    if (tracker) return tracker;
    explain(tracker.error().text());
    return ScanTracker::open(device, options);
}

}  // namespace drover::replicator
