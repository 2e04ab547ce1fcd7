/// Reads a stored log from its first event to its last and lists everything that is wrong with it.
/// Start-up and the audit share it: the first refuses on any finding, the second reports them.
///
///   events ─► chain ─► stream chains ─► stream index ─► answers ─► meta ─► head file
#pragma once

#include "eventlog/anchor_check.h"
#include "eventlog/head_file.h"
#include "eventlog/heads.h"
#include "eventlog/rocksdb_layout.h"
#include "eventlog/rocksdb_store.h"

namespace drover::eventlog {

struct Survey {
    explicit Survey(const Uuid& lineage)
        : heads(lineage) {}

    Heads heads;               ///< as far as the chain is whole
    std::uint64_t events = 0;  ///< readable ones, whole or not
    Seq first_seq = 0;         ///< 0 for an empty log
    std::uint64_t answers = 0;
    AnchorReport anchors;
    std::vector<Finding> findings;
};

/// `head_file` is the slot read before the store was opened, so that it can only be behind.
/// Events are compared with `anchors` too. `begin` as in rocksdb_log.h. Errors: meta_damaged,
/// log_unsupported, io; damage to anything else is a finding.
[[nodiscard]] Result<Survey> survey(const RocksStore& store,
                                    const std::optional<HeadSlot>& head_file,
                                    const KnownAnchors& anchors = {},
                                    const ReadingBegins& begin = {});

}  // namespace drover::eventlog
