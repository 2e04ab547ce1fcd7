// ebpf_can_track(): which hosts and disks block tracepoints can track. Every refusal says why,
// because the operator sees it as the reason for the slower scan.
#include "replicator/bpffs.h"
#include "replicator/ebpf_host.h"
#include "replicator/kernel_tracker.h"
#include "replicator/tracker.h"

namespace drover::replicator {

Result<> ebpf_can_track(const DeviceFacts& facts) {
    TRY_VOID(tracepoints_cover(facts));
    TRY_VOID(tracing_allowed(look_at_tracing()));
    TRY_VOID(ensure_bpffs());
    return probe_bpf();
}

}  // namespace drover::replicator
