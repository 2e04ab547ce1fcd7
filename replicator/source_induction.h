/// Whether the proof by induction holds now: nothing on this side is left to send or to be read
/// back, and the target, asked now, holds exactly this copy, all of it read back. Nothing is
/// compared.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// Under a fence, after a drain, in the connection that stands. All figures are 0, but for free
/// space that was never copied. Errors: conflict "proof_incomplete" (this side),
/// "proof_other_copy", "proof_unapplied", "proof_unread" (the target); io; those of the link.
[[nodiscard]] Result<VerifyDone> prove_by_induction(SourceJob& job, PeerChannel& control);

}  // namespace drover::replicator
