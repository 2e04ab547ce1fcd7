/// Reads a stored log from its first event to its last and lists everything that is wrong with it.
/// Start-up and the audit share it: the first refuses on any finding, the second reports them.
///
///   events ─► chain ─► stream chains ─► stream index ─► answers ─► meta ─► head file
#pragma once

#include "eventlog/head_file.h"
#include "eventlog/heads.h"
#include "eventlog/rocksdb_layout.h"
#include "eventlog/rocksdb_store.h"

namespace drover::eventlog {

/// Something that is not as it was written. A survey has at most one finding of each id: the first.
struct Finding {
    std::string id;      ///< stable: event_missing, chain_broken, log_shorter_than_head, …
    Seq seq = 0;         ///< the first event that is affected
    std::string detail;  ///< for people
};

struct Survey {
    explicit Survey(const Uuid& lineage)
        : heads(lineage) {}

    Heads heads;               ///< as far as the chain is whole
    std::uint64_t events = 0;  ///< readable ones, whole or not
    Seq first_seq = 0;         ///< 0 for an empty log
    std::uint64_t answers = 0;
    std::vector<Finding> findings;
};

/// `head_file` is the slot read before the store was opened, so that it can only be behind.
/// Errors: meta_damaged, log_unsupported, io; damage to anything else is a finding.
[[nodiscard]] Result<Survey> survey(const RocksStore& store,
                                    const std::optional<HeadSlot>& head_file);

}  // namespace drover::eventlog
