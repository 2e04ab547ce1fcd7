#include "agent/preflight.h"

#include "agent/journal_place.h"
#include "agent/reverse_receiver.h"
#include "replicator/held_target.h"
#include "agent/test_run.h"

#include <algorithm>
#include <optional>

namespace drover::agent {
namespace {

/// A disk may carry hundreds of logical volumes; a report takes 256 findings.
constexpr std::size_t findings_of_holders_max = 64;

bool is_step_of(HookStep step, Side side) {
    const bool at_source = step == HookStep::pre_fence || step == HookStep::post_release;
    return at_source == (side == Side::source);
}

void add(PreflightDone& done, const Error& error, const std::string& object) {
    const std::string next =
        error.next().empty() ? "correct the cause, then repeat the preflight" : error.next();
    done.findings.push_back({Severity::critical, error.id(), object, error.detail(), next});
}

/// Common to both sides. Nothing if no more can be said about the disk.
std::optional<replicator::DeviceFacts> look_at_disk(const AgentParts& parts,
                                                    const std::string& path, PreflightDone& done) {
    auto disk = parts.host.look_up(path);
    if (!disk) {
        add(done, disk.error(), path);
        return std::nullopt;
    }
    const replicator::DeviceFacts& facts = disk->facts;
    done.disks.push_back({path, facts.identity, facts.size_bytes, facts.sector_bytes, {}});
    if (facts.size_bytes == 0) {
        done.findings.push_back({Severity::critical, "disk_empty", path, path + " has no capacity",
                                 "attach a medium, or name another disk"});
    }
    if (facts.identity.empty()) {
        done.findings.push_back({Severity::warning, "disk_identity_unstable", path,
                                 path + " has neither a wwid nor a serial",
                                 "after a reboot of its host, make sure that the path still names "
                                 "the same disk"});
    }
    return facts;
}

void check_hooks(const AgentParts& parts, const PreflightWork& work, Side side,
                 PreflightDone& done) {
    for (const auto& [step, name] : work.hooks) {
        if (!is_step_of(step, side)) continue;
        auto digest = parts.host.check_hook(name);
        if (digest)
            done.hook_digests[step] = *digest;
        else
            add(done, digest.error(), name);
    }
}

void check_twice_named(const PreflightWork& work, PreflightDone& done) {
    for (auto disk = work.disks.begin(); disk != work.disks.end(); ++disk)
        if (std::find(disk + 1, work.disks.end(), *disk) != work.disks.end())
            done.findings.push_back({Severity::critical, "disk_named_twice", *disk,
                                     *disk + " appears twice in the plan", "correct the plan"});
}

void check_source_disk(const AgentParts& parts, const std::string& path, PreflightDone& done) {
    auto own = check_not_own(parts.host, path);
    if (!own) add(done, own.error(), path);
    if (!own && own.error().id() != "root_disk") return;
    const auto facts = look_at_disk(parts, path, done);
    if (!facts) return;
    auto uses = parts.host.uses(path);
    if (!uses) add(done, uses.error(), path);
    if (uses) {
        for (const DiskUse& use : *uses) {
            if (done.findings.size() >= findings_of_holders_max) break;
            if (use.kind != DiskUse::Kind::holder) continue;
            done.findings.push_back({Severity::warning, "disk_held", path, use.detail,
                                     "the pre-fence hook has to deactivate it: the fence refuses "
                                     "a disk that LVM, md or another holder keeps"});
        }
    }
    auto tracked = parts.config.allow_ebpf
                       ? parts.host.can_track_blocks(*facts)
                       : Result<>(Error(Errc::unsupported, "tracker_by_choice",
                                        "agent.toml says tracker.kind = \"scan\""));
    done.disks.back().tracker = tracked ? "ebpf" : "scan";
    if (!tracked) {
        done.findings.push_back(
            {Severity::info, "tracker_scan", path,
             "changes are found by reading the disk again: " + tracked.error().detail(),
             "nothing has to be done; each pass reads the whole disk"});
    }
}

/// Empty if what a target's users write may come back to these disks of a source; else why not.
std::string no_way_back_to(const AgentParts& parts, const std::vector<std::string>& disks) {
    for (const std::string& disk : disks)
        if (auto exposed = check_reverse_exposed(parts.paths, parts.host, disk); !exposed)
            return exposed.error().detail();
    if (!parts.config.listen) return "agent.toml has no [listen] that names an address";
    const auto place = reverse_journal_place(parts.config, disks);
    return place ? std::string() : place.error().detail();
}

/// Likewise of a target: what its users write is known exactly.
bool knows_changes(const AgentParts& parts, const PreflightDone& done) {
    if (!parts.config.allow_ebpf || done.disks.empty()) return false;
    return std::ranges::all_of(done.disks, [&](const DiskFacts& disk) {
        const auto found = parts.host.look_up(disk.path);
        return found && parts.host.can_track_blocks(found->facts).has_value();
    });
}

void tell_endpoint(const AgentParts& parts, PreflightDone& done) {
    if (!parts.config.listen) return;
    const ListenConfig& listen = *parts.config.listen;
    done.endpoint = {listen.advertise, listen.control_port, listen.bulk_port};
}

/// Why not is said to those who allowed it for a disk.
bool is_allowed_for_any(const AgentParts& parts, const std::vector<std::string>& disks) {
    const ExposureStore consents(parts.paths.reverse_exposures());
    return std::ranges::any_of(disks, [&](const std::string& disk) {
        const auto given = consents.has(disk);
        return given && *given;
    });
}

void tell_way_back(const AgentParts& parts, const PreflightWork& work, PreflightDone& done) {
    if (!is_allowed_for_any(parts, work.disks)) return;
    const std::string why_not = no_way_back_to(parts, work.disks);
    if (why_not.empty()) {
        done.capabilities.emplace_back(reverse_capability);
        return tell_endpoint(parts, done);
    }
    done.findings.push_back({Severity::info,
                             "no_way_back",
                             {},
                             "a rollback cannot keep what the target's users write: " + why_not,
                             "nothing has to be done; docs/operations.md, Rollback, says what such "
                             "a rollback needs"});
}

void check_target_disk(const AgentParts& parts, const std::string& path, bool owns_disks,
                       PreflightDone& done) {
    auto own = check_not_own(parts.host, path);
    if (!own) return add(done, own.error(), path);
    if (!look_at_disk(parts, path, done)) return;
    auto exposed = check_exposed(parts.exposures, parts.host, path);
    if (!exposed) return add(done, exposed.error(), path);
    auto unused = check_unused(parts.host, path);
    if (!unused) return add(done, unused.error(), path);
    if (owns_disks || exposed->override_not_blank) return;
    auto blank = parts.host.check_blank(path);
    if (!blank) add(done, blank.error(), path);
}

/// A test needs the journal, which takes what comes meanwhile, and an overlay for every disk.
void check_test(const AgentParts& parts, const PreflightWork& work, PreflightDone& done) {
    const std::string directory = parts.config.test_directory.native();
    const auto overlay = choose_overlay(parts, "preflight", work.disks);
    if (overlay && !*overlay) return;
    if (overlay && done.journal_mode == "journal") {
        done.capabilities.emplace_back("test.overlay");
        done.findings.push_back({Severity::info, "test_overlay", directory,
                                 "tests run on " + (*overlay)->kind + " overlays in " + directory,
                                 "nothing has to be done"});
        return;
    }
    const Error why = overlay ? Error(Errc::unsupported, "test_needs_journal",
                                      "tests need a journal on the target", "the copy",
                                      "name journal.directory in agent.toml")
                              : overlay.error();
    if (why.id() == "disk_not_found") return;
    done.findings.push_back(
        {Severity::info, why.id(), directory, "no test is possible: " + why.detail(), why.next()});
}

}  // namespace

std::vector<std::string> agent_capabilities(const Config& config) {
    std::vector<std::string> out;
    if (config.is_source && config.allow_ebpf) out.emplace_back("track.ebpf");
    if (config.is_source) out.emplace_back("track.scan");
    if (config.is_source || config.is_target) out.emplace_back("verify.induction");
    if (config.is_target) out.emplace_back("journal.direct");
    if (config.is_target && !config.journal_directory.empty()) out.emplace_back("journal.redo");
    return out;
}

PreflightDone preflight_source(const AgentParts& parts, const PreflightWork& work) {
    PreflightDone done;
    done.capabilities = agent_capabilities(parts.config);
    done.capabilities.emplace_back(replicator::compare_capability);
    check_twice_named(work, done);
    for (const std::string& disk : work.disks) check_source_disk(parts, disk, done);
    tell_way_back(parts, work, done);
    check_hooks(parts, work, Side::source, done);
    return done;
}

PreflightDone preflight_target(const AgentParts& parts, const PreflightWork& work,
                               bool owns_disks) {
    PreflightDone done;
    done.capabilities = agent_capabilities(parts.config);
    const auto journal = journal_place(parts.config, work.disks);
    done.journal_mode = journal && *journal ? "journal" : "direct";
    // A disk that is not there has its own finding.
    if (!journal && journal.error().id() != "disk_not_found")
        done.findings.push_back(
            {Severity::warning, journal.error().id(), parts.config.journal_directory.native(),
             journal.error().detail() + ": disks are written in place", journal.error().next()});
    tell_endpoint(parts, done);
    check_twice_named(work, done);
    for (const std::string& disk : work.disks) check_target_disk(parts, disk, owns_disks, done);
    if (knows_changes(parts, done)) {
        done.capabilities.emplace_back(replicator::compare_capability);
        done.capabilities.emplace_back(reverse_capability);
    }
    check_test(parts, work, done);
    check_hooks(parts, work, Side::target, done);
    return done;
}

}  // namespace drover::agent
