// From the plan to the first copied block: plan, preflight, start.
#include "base/sha256.h"
#include "schemas/codec.h"
#include "statemachine/deciders.h"

#include <algorithm>
#include <set>

namespace drover::statemachine {
namespace {

/// As many as one stored message takes.
constexpr std::size_t findings_max = 256;

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool valid_path(std::string_view path) {
    return path.size() > 1 && path.size() <= 4096 && path.front() == '/' && !has_control(path);
}

/// What is wrong with the disks; empty if nothing.
std::string disks_fault(const JobSpec& spec) {
    if (spec.disks.empty()) return "it names no disk";
    if (spec.disks.size() > disks_max) {
        return "it names more than " + std::to_string(disks_max) + " disks";
    }
    std::set<std::string> sources;
    std::set<std::string> targets;
    for (const DiskPair& disk : spec.disks) {
        if (!valid_path(disk.source) || !valid_path(disk.target)) {
            return "a disk is not an absolute path: " + disk.source + " to " + disk.target;
        }
        if (!sources.insert(disk.source).second) return "it names " + disk.source + " twice";
        if (!targets.insert(disk.target).second) return "it names " + disk.target + " twice";
    }
    return {};
}

std::string plan_fault(const JobSpec& spec) {
    constexpr std::string_view form = " is not a name (1 to 63 of a-z, 0-9 and -)";
    for (const std::string& name : {spec.name, spec.source_agent, spec.target_agent}) {
        if (!valid_name(name)) return "\"" + printable(name, 80) + "\"" + std::string(form);
    }
    if (spec.source_agent == spec.target_agent) return "source and target are the same agent";
    for (const auto& [step, hook] : spec.hooks) {
        if (!valid_name(hook)) return "hook \"" + printable(hook, 80) + "\"" + std::string(form);
    }
    if (spec.outage_max_s == 0) return "the longest outage is 0 s";
    if (spec.hold_s == 0) return "the hold is 0 s";
    return disks_fault(spec);
}

Finding critical(std::string id, std::string object, std::string detail, std::string next) {
    return {Severity::critical, std::move(id), std::move(object), std::move(detail),
            std::move(next)};
}

void check_disk(const DiskFacts& source, const DiskFacts& target, std::vector<Finding>& out) {
    if (target.size_bytes < source.size_bytes) {
        out.push_back(critical("target_too_small", target.path,
                               "the target has " + std::to_string(target.size_bytes) +
                                   " bytes, its source " + source.path + " has " +
                                   std::to_string(source.size_bytes),
                               "expose a target disk of at least the source's size"));
    }
    if (target.sector_bytes != source.sector_bytes) {
        out.push_back(critical("sector_size_mismatch", target.path,
                               "sectors of " + std::to_string(target.sector_bytes) +
                                   " bytes, the source has " + std::to_string(source.sector_bytes),
                               "expose a target disk with the source's sector size"));
    }
}

void check_hooks(const JobSpec& spec, Side side, const PreflightDone& half,
                 std::vector<Finding>& out) {
    for (const auto& [step, hook] : spec.hooks) {
        if (side_of(step) != side || half.hook_digests.contains(step)) continue;
        out.push_back(
            critical("hook_not_found", hook,
                     "the agent reported no digest for the " + std::string(name_of(step)) + " hook",
                     "name the hook's file in that agent's configuration"));
    }
}

/// Both agents' findings and what only the comparison of both shows; the critical ones first.
std::vector<Finding> all_findings(const JobSpec& spec, const PreflightDone& source,
                                  const PreflightDone& target) {
    std::vector<Finding> out;
    const std::size_t disks = spec.disks.size();
    if (source.disks.size() != disks || target.disks.size() != disks) {
        out.push_back(critical("disk_facts_missing", spec.name,
                               "the agents did not describe every disk of the plan",
                               "repeat the preflight; if it stays so, update the agents"));
    } else {
        for (std::size_t i = 0; i < disks; ++i) check_disk(source.disks[i], target.disks[i], out);
    }
    check_hooks(spec, Side::source, source, out);
    check_hooks(spec, Side::target, target, out);
    out.insert(out.end(), source.findings.begin(), source.findings.end());
    out.insert(out.end(), target.findings.begin(), target.findings.end());
    std::stable_sort(out.begin(), out.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
    if (out.size() > findings_max) out.resize(findings_max);
    return out;
}

/// Layout: "drover-plan1", u32 length of the spec, spec; per side: u32 count, then per hook: u8
/// step, 32 bytes of digest.
Hash plan_hash_of(const JobSpec& spec, const PreflightDone& source, const PreflightDone& target) {
    Bytes message;
    put_bytes(message, as_bytes("drover-plan1"));
    const Bytes encoded = encode_spec(spec);
    put_u32(message, static_cast<std::uint32_t>(encoded.size()));
    put_bytes(message, encoded);
    for (const PreflightDone* half : {&source, &target}) {
        put_u32(message, static_cast<std::uint32_t>(half->hook_digests.size()));
        for (const auto& [step, digest] : half->hook_digests) {
            message.push_back(static_cast<std::uint8_t>(step));
            put_bytes(message, digest.view());
        }
    }
    return sha256(message);
}

Event conclusion(const JobSpec& spec, const PreflightDone& source, const PreflightDone& target) {
    std::vector<Finding> findings = all_findings(spec, source, target);
    if (!findings.empty() && findings.front().severity == Severity::critical) {
        return PreflightFailed{std::move(findings)};
    }
    return PreflightPassed{plan_hash_of(spec, source, target)};
}

}  // namespace

Decision decide_on(const Plan& wish, const Asked& asked) {
    if (asked.job.exists) {
        return reject(rejection::job_exists, "a job named " + asked.job.spec.name + " exists",
                      "choose another name");
    }
    const std::string fault = plan_fault(wish.spec);
    if (!fault.empty()) {
        return reject(rejection::plan_invalid, "the plan cannot be used: " + fault,
                      "correct the plan and send it again");
    }
    return Accepted{{JobPlanned{wish.spec, asked.command.actor}}};
}

Decision decide_on(const Preflight&, const Asked& asked) {
    if (asked.job.phase > Phase::ready) {
        return wrong_phase(asked, "a preflight runs only before the job is started");
    }
    Accepted accepted;
    if (asked.job.parked) accepted.events.push_back(Unparked{asked.command.actor});
    accepted.events.push_back(RetryStarted{asked.command.actor, asked.job.attempt + 1});
    return accepted;
}

Decision decide_on(const Start&, const Asked& asked) {
    const Job& job = asked.job;
    if (job.phase == Phase::blocked) {
        return wrong_phase(asked, "correct what the preflight found, then run preflight again");
    }
    if (job.phase != Phase::ready) return wrong_phase(asked, "only a ready job can be started");
    if (auto held = held_up(job)) return *held;
    if (!preflight_of(job, Side::source) || !preflight_of(job, Side::target)) {
        return reject(rejection::preflight_running, "a new preflight has not been answered yet",
                      "wait for both agents, then start");
    }
    return Accepted{{MirrorStarted{asked.command.actor}}};
}

Accepted decide_preflight_half(const Job& job, Side side, const PreflightDone& half) {
    Accepted accepted{{PreflightChecked{side, half}}};
    const auto& other = preflight_of(job, side == Side::source ? Side::target : Side::source);
    if (!other) return accepted;
    accepted.events.push_back(side == Side::source ? conclusion(job.spec, half, *other)
                                                   : conclusion(job.spec, *other, half));
    return accepted;
}

}  // namespace drover::statemachine
