/// The comparison that trusts no tracker: SHA-256 of every leaf, read from the disk on both ends.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// Leaves and root as merkle.h defines them, over the source's size. At most mismatches_max ranges
/// are named, adjacent ones joined. Errors: io (either end), those of the link, cancelled.
[[nodiscard]] Result<VerifyDone> verify_disks(SourceJob& job, PeerChannel& control);

}  // namespace drover::replicator
