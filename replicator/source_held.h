/// The source's end of the comparison during the hold: the source is fenced, the target belongs to
/// its users, and every block that these have not written must hold what the source holds. Nothing
/// is sent but questions.
///
///   chunk of 1 MiB, both ends hash what was not written ─► equal: on
///     ─► differs ─► block by block, after an exact audit ─► only written ones differ: on
///                                                        └► else again ─► the third time: named
///
/// Three looks, because an event of a write on its way may have been lost.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// From the hello on; no bulk link is needed. Begins anew with every connection. Errors: io (either
/// end), those of the link, cancelled, and what the target refuses with ("change_map_lost").
[[nodiscard]] Result<CompareDone> compare_held(SourceJob& job, PeerChannel& control);

}  // namespace drover::replicator
