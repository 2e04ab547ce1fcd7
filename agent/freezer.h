/// Freezes the filesystems on a job's disks for a moment (FIFREEZE), with hooks before and after,
/// and a dead man's switch beside it.
///
///   agent      hooks "freeze" ─► FIFREEZE, last mount first ─► ... ─► FITHAW ─► hooks "thaw"
///     └ pipe ─► watchdog process: on its end, or after the limit: FITHAW, hooks "thaw"
///
/// The watchdog is forked in prepare(), in a session of its own, with its memory locked: it thaws
/// whatever happens to the agent. Hooks are those of QEMU's guest agent: every executable file of
/// one directory, by name, called with "freeze" or "thaw".
#pragma once

#include "agent/host_ops.h"
#include "replicator/freezer.h"

#include <memory>
#include <string>
#include <vector>

namespace drover::agent {

/// The filesystems on the disks and on what is made of them (partitions, LVM, md), each once, in
/// mount order: a mount point of each. Those mounted read-only are left out.
[[nodiscard]] Result<std::vector<std::string>> filesystems_on(
    const std::vector<std::string>& disks);

/// Errors of prepare(): not_found ("nothing_to_freeze"), denied ("hook_unsafe"), io; of freeze():
/// io ("freeze_failed", "hook_failed"), timed_out ("hook_timed_out").
[[nodiscard]] std::shared_ptr<replicator::Freezer> make_freezer(FreezePlan plan);

}  // namespace drover::agent
