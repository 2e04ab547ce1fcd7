#include "agent/commands.h"
#include "agent/state_store.h"

namespace drover::agent {
namespace {

Result<> check_has_obeyed(const StatePaths& paths) {
    TRY(const Witness seen, load_witness(paths));
    if (!seen.lineage.is_zero()) return {};
    return Error(Errc::conflict, "nothing_obeyed", "this agent has not obeyed any orchestrator yet",
                 "nothing was changed", "start the agent; it accepts the first log it is shown");
}

/// The witness is what refuses another log, so it is what changes: the named log, from its
/// beginning. One file, replaced in one step.
Result<> accept_restore(const std::filesystem::path& config, const std::string& lineage,
                        const std::string& format) {
    const auto id = uuid_from_text(lineage);
    if (!id || id->is_zero())
        return Error(Errc::invalid, "lineage_malformed",
                     "\"" + printable(lineage, 80) + "\" is no lineage", "nothing was changed",
                     "take it from droverd restore or from the refusal that drover-agent status "
                     "shows");
    TRY(const Opened opened, open_config(config));
    TRY(const Fd lock, lock_state(opened.paths));
    TRY_VOID(check_has_obeyed(opened.paths));
    TRY(const Witness before, load_witness(opened.paths));
    if (before.lineage != *id) {
        Witness accepted;
        accepted.lineage = *id;
        accepted.epoch = before.epoch;  // still no older one is obeyed
        TRY_VOID(store_witness(opened.paths, accepted));
    }
    say_done(format, {{"lineage", uuid_text(*id)}, {"before", uuid_text(before.lineage)}},
             "accepted lineage " + uuid_text(*id) + " instead of " + uuid_text(before.lineage) +
                 "; fences stay as they are");
    return {};
}

}  // namespace

int accept_restore_command(const std::filesystem::path& config, const std::string& lineage,
                           const std::string& format) {
    auto outcome = accept_restore(config, lineage, format);
    return outcome ? exit_ok : fail_locally(outcome.error());
}

}  // namespace drover::agent
