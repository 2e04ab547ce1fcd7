/// A backup becomes a state directory again. Blocking.
///
/// Without a loss it is the same log: same lineage, and agents obey it as long as it shows what
/// they remember. With an accepted loss it goes on as a new lineage, which agents obey only for the
/// signature of the recovery key or root's word on their own host. Either way every job that is not
/// over is reconciled before anything is asked of anybody (statemachine/reconcile.h): without a loss
/// that is over as soon as both its agents are there, and nobody who knows better is overlooked.
#pragma once

#include "base/random.h"
#include "orchestrator/backup.h"
#include "schemas/session.h"

#include <optional>

namespace drover::orchestrator {

/// The new epoch is this much above the backup's: the lost log may have been started as often since
/// and its agents refuse any epoch that they have seen. Known witnesses count as well.
constexpr eventlog::Epoch restore_epoch_margin = 1000;

/// What the operator says to a restore that loses events.
struct AcceptedLoss {
    std::string by;  ///< "operator:NAME"
    std::string reason;
    /// Private half of the recovery key. Empty: unsigned, and every agent needs root's word.
    std::string recovery_key_pem;
};

struct RestoreOptions {
    std::filesystem::path from;
    std::filesystem::path state;
    std::optional<AcceptedLoss> loss;
    std::vector<Witness> witnesses;  ///< of agents, as far as they are known
    eventlog::Epoch known_epoch = 0;
};

struct Restored {
    eventlog::Head head;
    std::optional<LineageReset> reset;  ///< with a loss
    std::vector<std::string> jobs;      ///< names of those that are reconciled first
};

/// Makes `state`, which must not exist or be empty; half-way it has another name. Errors: those of
/// check_backup; conflict (state_not_empty; backup_behind without an accepted loss); denied
/// (recovery_key_wrong); invalid (restore_reason_missing,
/// witness_malformed); io.
[[nodiscard]] Result<Restored> restore(const RestoreOptions& options, Random& random,
                                       WallMicros now);

/// What `drover-agent status -o json` printed. Errors: invalid (witness_malformed).
[[nodiscard]] Result<Witness> read_witness(std::string_view text);

}  // namespace drover::orchestrator
