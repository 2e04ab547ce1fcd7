/// The source's part in the target's reading back (read_back.h): what was acknowledged stays in the
/// unread maps of SourceState until the target says that it was read back; what differs is marked
/// dirty, so that the next pass sends it again.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// A drain gives up after so many rounds in a row that ended with something that differs.
constexpr int read_back_rounds_max = 3;

/// Takes in what the target says. Ranges beyond a disk are ignored: they are not ours.
void take_read_back(SourceJob& job, const ReadBackFound& found);

/// Asks what was read back so far.
[[nodiscard]] Result<> ask_read_back(SourceJob& job, PeerChannel& control);

/// After everything was acknowledged, under a fence: lets the target read back the rest. True:
/// nothing that was ever sent is unverified. False: something differed; it is dirty, and sent again
/// by the next pass. A target that does not read back leaves the proof to the comparison: true.
/// Errors: those of the link, io "read_back_differs" after read_back_rounds_max rounds.
[[nodiscard]] Result<bool> finish_read_back(SourceJob& job, PeerChannel& control);

}  // namespace drover::replicator
