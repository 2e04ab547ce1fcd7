/// Leaving free space out of a first mirror: the moments at which a source's other functions must
/// know of it. All do nothing for a disk without SourceDisk::free_space.
///
///   open_skips ─► begin_sweep: free space is asked for, used blocks are dirty
///             ─► take_to_send: what is taken is left out no more; what is left out goes as zeroes
///             ─► revoke_skips: before a comparison of the disk
#pragma once

#include "replicator/pass_plan.h"
#include "replicator/source_job.h"

namespace drover::replicator {

/// Puts a SkippingDevice in front of each disk that wants it. `key`: of the source's state; a disk
/// whose earlier map cannot be taken over makes trackers_resumed false, so that it is compared.
/// Errors: io, unavailable.
[[nodiscard]] Result<> open_skips(SourceConfig& config, SourceStateKey& key, Random& random);

/// The target's disk is blank: marks what the first sweep is to read. Asks for free space if that
/// was not done yet: may block for as long as the source's filesystems need to write back. A
/// failure to ask is logged, and nothing is left out.
void begin_sweep(SourceJob& job, std::size_t disk);

/// As take_region, over the disk's dirty map. During the first sweep also the blocks that are left
/// out: they read as zeroes.
[[nodiscard]] Region take_to_send(SourceJob& job, std::size_t disk, BlockMap pending,
                                  std::uint64_t first_block);

/// Nothing is left out any more; what was is dirty.
void revoke_skips(SourceJob& job, std::size_t disk);

void forget_skips(SourceJob& job, std::size_t disk);

/// Bytes of the disk that the target holds as zeroes, whatever the source holds there.
[[nodiscard]] std::uint64_t skipped_bytes(const SourceJob& job, std::size_t disk);

}  // namespace drover::replicator
