#include "cli/arguments.h"

#include "cli/json.h"

#include <algorithm>

namespace drover::cli {

const std::vector<Action>& actions() {
    static const std::vector<Action> table{
        {"preflight", "check both hosts, disks and hooks; wait for the verdict", {}},
        {"start", "start the initial mirror; the source keeps running", {}},
        {"pause", "stop copying; changes are still tracked", {}},
        {"resume", "go on copying", {}},
        {"throttle", "limit the rate of the copy", {.rate = true}},
        {"test-start", "start a test cutover; replication goes on underneath", {}},
        {"test-revert", "end a test cutover and discard what it wrote", {}},
        {"arm",
         "prepare a cutover, by hand or at a time",
         {.plan_hash = true, .at = true, .outage_max = true, .pause_before_activate = true}},
        {"disarm", "take back an armed cutover", {}},
        {"cutover",
         "fence the source, send the rest, verify, hand over to the target",
         {.plan_hash = true, .outage_max = true, .pause_before_activate = true}},
        {"rollback", "give service back to the source", {.mode = true, .acknowledge_loss = true}},
        {"resync", "replicate again after a rollback", {.acknowledge_loss = true}},
        {"commit",
         "drop the way back; the source stays fenced",
         {.confirm = true, .waive_comparison = true}},
        {"cancel", "end the job before its cutover; copied data is kept", {}},
        {"retry", "try the step that failed again", {}},
        {"park", "stop the job where it is", {}},
        {"unpark", "let a parked job go on", {}},
        {"confirm-target-stopped",
         "state that the target is stopped although its agent does not answer",
         {.how = true}},
        {"waive-validation", "accept the target although its validation failed", {}},
        {"abandon-reverse",
         "give up keeping the target's writes during a rollback",
         {.acknowledge_loss = true}},
        {"delete-data", "overwrite the copied data on the target's disks", {.confirm = true}},
        {"lift-quarantine", "let a quarantined job go on", {}},
        {"resolve",
         "after a restore: end a job as it was found; every fence stays",
         {.confirm = true, .serving = true}},
    };
    return table;
}

std::string action_body(const Arguments& arguments) {
    JsonObject body;
    const auto add_text = [&body](std::string_view key, const std::string& value) {
        if (!value.empty()) body.text(key, value);
    };
    add_text("reason", arguments.reason);
    add_text("plan_hash", arguments.plan_hash);
    add_text("at", arguments.at);
    add_text("mode", arguments.mode);
    add_text("acknowledged_loss", arguments.acknowledged_loss);
    add_text("confirm", arguments.confirm);
    add_text("how", arguments.how);
    add_text("as", arguments.serving);
    if (arguments.outage_max_s) body.number("outage_max_s", *arguments.outage_max_s);
    if (arguments.pause_before_activate) body.boolean("pause_before_activate", true);
    if (arguments.rate_bytes_per_s) {
        body.raw("limits",
                 JsonObject{}.number("rate_bytes_per_s", *arguments.rate_bytes_per_s).str());
    }
    if (arguments.waive_comparison) body.boolean("waive_comparison", true);
    if (arguments.dry_run) body.boolean("dry_run", true);
    return body.str();
}

std::string job_body(const Arguments& arguments) {
    std::string disks;
    for (const auto& [source, target] : arguments.disks) {
        JsonObject disk;
        disk.text("source", source).text("target", target);
        const auto& skipping = arguments.skip_free_space;
        if (std::find(skipping.begin(), skipping.end(), source) != skipping.end()) {
            disk.boolean("skip_free_space", true);
        }
        disks += (disks.empty() ? "" : ",") + disk.str();
    }
    JsonObject hooks;
    for (const auto& [step, hook] : arguments.hooks) hooks.text(step, hook);
    JsonObject body;
    body.text("name", arguments.name)
        .text("source_agent", arguments.source_agent)
        .text("target_agent", arguments.target_agent)
        .raw("disks", "[" + disks + "]")
        .raw("hooks", hooks.str());
    if (arguments.outage_max_s) body.number("outage_max_s", *arguments.outage_max_s);
    if (arguments.hold_s) body.number("hold_s", *arguments.hold_s);
    if (!arguments.comparison.empty()) body.text("comparison", arguments.comparison);
    if (arguments.backlog_bytes_max) body.number("backlog_bytes_max", *arguments.backlog_bytes_max);
    if (arguments.rate_bytes_per_s) {
        body.raw("limits",
                 JsonObject{}.number("rate_bytes_per_s", *arguments.rate_bytes_per_s).str());
    }
    return body.str();
}

}  // namespace drover::cli
