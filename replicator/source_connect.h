/// The first exchange on a fresh connection: hello, ticket, and what each side remembers.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// Shows the ticket, takes the target's checkpoint and brings the state in line with it:
///
///   the target's checkpoint is ours  ─► what was pending is dirty again, but for a batch that
///   turned out durable the target is blank              ─► everything is dirty, sweep from the
///   start anything else                    ─► compare every disk
///
/// Then opens as many bulk links as both want. Returns `mirrored_upto` for the batch stream.
/// Errors: those of the links; denied, unsupported, invalid when the target refuses.
[[nodiscard]] Result<std::vector<std::uint64_t>> connect_to_target(SourceJob& job,
                                                                   PeerChannel& control,
                                                                   PeerLinks& links,
                                                                   Wishes::Attachment& attached);

}  // namespace drover::replicator
