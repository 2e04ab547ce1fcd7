/// Stands in for ebpf_tracker.cc where the build machine cannot compile BPF programs.
#include "replicator/ebpf_host.h"
#include "replicator/ebpf_tracker.h"

namespace drover::replicator {
namespace {

Error not_built() {
    return Error(
        Errc::unsupported, "ebpf_not_built",
        "this drover was built without its block tracepoint programs", {},
        "changes are found by comparing content; install clang and bpftool and build again");
}

}  // namespace

Result<> ebpf_can_track(const DeviceFacts&) {
    return not_built();
}

Result<> try_tracepoints() {
    return not_built();
}

Result<std::unique_ptr<ChangeTracker>> open_ebpf_tracker(BlockDevice&, const TrackerOptions&) {
    return not_built();
}

}  // namespace drover::replicator
