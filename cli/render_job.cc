#include "base/bytes.h"
#include "cli/render.h"
#include "cli/units.h"

#include <algorithm>
#include <array>

namespace drover::cli {
namespace {

constexpr std::size_t label_width = 14;
constexpr std::size_t cell_length_max = 400;

/// Text from a server goes to a terminal: no control characters.
std::string clean(const Json& value) {
    return printable(value.text(), cell_length_max);
}

/// Grows line by line: "  label         text".
class Sheet {
  public:
    void line(std::string_view label, const std::string& text) {
        if (text.empty()) return;
        std::string out = "  " + std::string(label);
        out.append(label_width + 2 - std::min(label_width + 1, out.size() - 1) - 1, ' ');
        out_ += out + text + '\n';
    }

    void raw(const std::string& text) { out_ += text + '\n'; }

    [[nodiscard]] std::string str() const { return out_; }

  private:
    std::string out_;
};

std::string since(const Json& time) {
    return time.is_null() ? std::string{} : " since " + clean(time);
}

std::string agent_line(const Json& job, std::string_view side) {
    const std::string name = clean(job[std::string(side) + "_agent"]);
    const Json link = job["agents"][side]["connected"];
    if (link.is_null()) return name;
    return name + (link.truth() ? " (connected)" : " (not connected)");
}

std::string disk_line(const Json& disk) {
    std::string out = clean(disk["source"]) + " -> " + clean(disk["target"]);
    if (disk["size_bytes"].number() > 0) out += "  " + size_text(disk["size_bytes"].number());
    if (!disk["tracker"].text().empty()) out += "  tracked by " + clean(disk["tracker"]);
    return out;
}

void add_fault(Sheet& sheet, const Json& parked) {
    if (parked.is_null()) return;
    sheet.line("parked", "at " + clean(parked["step"]) + since(parked["since"]) + ": " +
                             clean(parked["id"]) + ": " + clean(parked["detail"]));
    sheet.line("  kept", clean(parked["kept"]));
    sheet.line("  next", clean(parked["next"]));
}

void add_certificate(Sheet& sheet, const Json& certificate) {
    if (certificate.is_null()) return;
    std::size_t number = 0;
    for (const Json& disk : certificate["disks"].items()) {
        std::string text = "disk " + std::to_string(number++) + ": ";
        if (disk["compared_bytes"].number() > 0) {
            const bool equal = disk["source_root"].text() == disk["target_root"].text();
            text += size_text(disk["compared_bytes"].number()) +
                    (equal ? " equal, SHA-256 root " : " DIFFERENT, source root ") +
                    clean(disk["source_root"]) + "; ";
        }
        text += size_text(disk["induction_bytes"].number()) + " by induction alone";
        if (const std::uint64_t bytes = disk["skipped_bytes"].number(); bytes > 0)
            text += ", " + size_text(bytes) + " free and not copied";
        sheet.line("proof", text);
    }
    if (certificate["differs"].truth())
        sheet.line("comparison", "FOUND DIFFERENCES during the hold");
    else if (certificate["waived"].truth())
        sheet.line("comparison", "waived");
    else if (!certificate["complete"].truth())
        sheet.line("comparison", "still to be made, during the hold");
    else
        sheet.line("comparison", clean(certificate["comparison"]));
}

void add_test(Sheet& sheet, const Json& test) {
    if (test.is_null()) return;
    sheet.line("test", "on a " + clean(test["overlay"]) + " overlay of point " +
                           clean(test["point"]) + " (" + clean(test["kind"]) + ", taken " +
                           clean(test["taken_at"]) + ")" +
                           (test["reverting"].truth() ? ", being reverted" : ""));
    for (const Json& disk : test["disks"].items()) sheet.line("  disk", clean(disk));
}

std::string waiting_line(const Json& wait) {
    std::string out =
        "on " + clean(wait["on"]) + " for " + clean(wait["for"]) + since(wait["since"]);
    if (!wait["deadline"].text().empty()) out += ", until " + clean(wait["deadline"]);
    return out;
}

std::string joined(const Json& list) {
    std::string out;
    for (const Json& item : list.items()) out += (out.empty() ? "" : ", ") + clean(item);
    return out;
}

/// A job that is left alone because its history is not legal.
void add_quarantine(Sheet& sheet, const Json& quarantine) {
    if (quarantine.is_null()) return;
    sheet.line("quarantined", clean(quarantine["id"]) + ": " + clean(quarantine["detail"]));
    if (const Json event = quarantine["event"]; !event.is_null()) {
        sheet.line("  event", clean(event["event"]) + ", seq " + clean(event["seq"]) + ", by " +
                                  clean(event["by"]) + " at " + clean(event["time"]));
    }
    sheet.line("  left out", clean(quarantine["left_out"]) + " facts; the state is that after " +
                                 clean(quarantine["applied"]));
    if (const std::string expected = joined(quarantine["expected"]); !expected.empty())
        sheet.line("  expected", expected);
    for (const Json& effect : quarantine["agents_keep"].items()) {
        sheet.line("  goes on", clean(effect["kind"]) + " at " + clean(effect["agent"]) + " (" +
                                    clean(effect["side"]) + ")");
    }
    sheet.line("  kept", clean(quarantine["kept"]));
    sheet.line("  next", clean(quarantine["next"]));
}

std::string test_line(const Json& test) {
    return "on point " + clean(test["point"]) + " of " + clean(test["taken_at"]) + ", " +
           clean(test["overlay"]) + ": " + joined(test["disks"]) +
           (test["reverting"].truth() ? ", being reverted" : "");
}

std::string hooks_line(const Json& hooks) {
    std::string out;
    for (const auto& [step, hook] : hooks.members()) {
        if (hook.text().empty()) continue;
        out += (out.empty() ? "" : ", ") + printable(step, cell_length_max) + "=" + clean(hook);
    }
    return out;
}

std::string backlog_text(const Json& job) {
    return job["backlog_bytes"].is_null() ? std::string{}
                                          : ", backlog " + size_text(job["backlog_bytes"].number());
}

void add_cutover(Sheet& sheet, const Json& job) {
    if (job["run"].number() > 0) sheet.line("run", clean(job["run"]));
    sheet.line("armed", clean(job["armed_at"]));
    sheet.line("outage until", clean(job["outage_deadline"]));
    const Json fence = job["fence"];
    if (!fence.is_null()) {
        sheet.line("fence", clean(fence["token"]) + " at " + clean(fence["fenced_at"]) +
                                ", tracker seq " + clean(fence["tracker_seq"]));
    }
    add_test(sheet, job["test"]);
    add_certificate(sheet, job["certificate"]);
    sheet.line("activated", clean(job["activated_at"]));
    // Final once the target was stopped; until then its agent's last count.
    const auto written =
        std::max(job["target_bytes_written"].number(),
                 job["progress"]["target"]["bytes_written_since_activation"].number());
    if (written > 0) {
        sheet.line("target wrote",
                   size_text(written) + " since activation; a rollback in mode discard loses it");
    }
    if (!job["hold_deadline"].text().empty()) {
        sheet.line("hold until", clean(job["hold_deadline"]) +
                                     (job["decision_overdue"].truth() ? ": DECISION OVERDUE" : ""));
    }
    if (!job["rollback"].is_null()) {
        const Json rollback = job["rollback"];
        sheet.line("rollback",
                   "mode " + clean(rollback["mode"]) + ", cause " + clean(rollback["cause"]));
    }
}

}  // namespace

std::string render_job(const Json& job) {
    Sheet sheet;
    std::string title = clean(job["name"]) + "  " + clean(job["phase"]);
    if (job["paused"].truth()) title += ", paused";
    if (!job["parked"].is_null()) title += ", parked";
    if (job["quarantined"].truth()) title += ", quarantined: " + clean(job["quarantine_reason"]);
    sheet.raw(title);
    sheet.line("phase", clean(job["phase"]) + since(job["phase_since"]));
    sheet.line("data",
               clean(job["data_state"]) + since(job["data_state_since"]) + backlog_text(job));
    sheet.line("source", agent_line(job, "source"));
    sheet.line("target", agent_line(job, "target"));
    for (const Json& disk : job["disks"].items()) sheet.line("disk", disk_line(disk));
    sheet.line("hooks", hooks_line(job["hooks"]));
    const std::uint64_t rate = job["limits"]["rate_bytes_per_s"].number();
    sheet.line("rate limit", rate == 0 ? "none" : size_text(rate) + "/s");
    sheet.line("progress", render_progress(job));
    if (const Json test = job["test"]; !test.is_null()) sheet.line("test", test_line(test));
    add_fault(sheet, job["parked"]);
    add_quarantine(sheet, job["quarantine"]);
    for (const std::string& line : finding_lines(job)) sheet.line("finding", line);
    add_cutover(sheet, job);
    for (const Json& wait : job["waiting_for"].items()) sheet.line("waiting", waiting_line(wait));
    sheet.line("allowed", joined(job["allowed_actions"]));
    sheet.line("plan hash", clean(job["plan_hash"]));
    sheet.line("version", clean(job["version"]) + ", as of seq " + clean(job["as_of_seq"]));
    return sheet.str();
}

std::vector<std::string> finding_lines(const Json& job) {
    std::vector<std::string> out;
    for (const Json& finding : job["findings"].items()) {
        if (finding["severity"].text() == "info") continue;
        std::string line = clean(finding["severity"]) + "  " + clean(finding["id"]) + "  " +
                           clean(finding["object"]) + ": " + clean(finding["detail"]);
        if (const std::string next = clean(finding["next"]); !next.empty())
            line += " (next: " + next + ")";
        out.push_back(std::move(line));
    }
    return out;
}

std::string render_why(const Json& why) {
    Sheet sheet;
    sheet.raw(clean(why["job"]) + "  " + clean(why["phase"]));
    add_quarantine(sheet, why["quarantine"]);
    for (const Json& wait : why["waiting_for"].items()) sheet.line("waiting", waiting_line(wait));
    for (const Json& work : why["outstanding"].items()) {
        sheet.line("outstanding", clean(work["kind"]) + " at " + clean(work["agent"]) + " (" +
                                      clean(work["side"]) +
                                      (work["taken"].truth() ? "), taken" : "), not taken yet"));
    }
    const Json rejection = why["last_rejection"];
    if (!rejection.is_null()) {
        sheet.line("last refusal", clean(rejection["action"]) + ": " + clean(rejection["id"]) +
                                       ": " + clean(rejection["detail"]));
    }
    for (const Json& no : why["why_not"].items()) {
        sheet.line("not allowed",
                   clean(no["action"]) + ": " + clean(no["id"]) + ": " + clean(no["detail"]));
        sheet.line("  next", clean(no["next"]));
    }
    sheet.line("as of seq", clean(why["as_of_seq"]));
    return sheet.str();
}

std::string render_progress(const Json& job) {
    const Json source = job["progress"]["source"];
    if (source.is_null()) return {};
    std::uint64_t size = 0;
    std::uint64_t mirrored = 0;
    std::uint64_t backlog = 0;
    for (const Json& disk : source["disks"].items()) {
        size += disk["size_bytes"].number();
        mirrored += std::min(disk["mirrored_bytes"].number(), disk["size_bytes"].number());
        backlog += disk["backlog_bytes"].number();
    }
    std::string out;
    if (size > 0) {
        // Rounded down: 100 % means all of it.
        const auto percent =
            static_cast<unsigned>(static_cast<double>(mirrored) * 100 / static_cast<double>(size));
        out = std::to_string(percent) + "% of " + size_text(size) + ", ";
    }
    out += "backlog " + size_text(backlog) + ", " + size_text(source["rate_bytes_per_s"].number()) +
           "/s, pass " + std::to_string(source["passes"].number());
    out += ", sent " + size_text(source["bytes_sent_mirror"].number()) + " mirror + " +
           size_text(source["bytes_sent_sync"].number()) + " sync for " +
           size_text(source["bytes_changed"].number()) + " changed";
    if (const std::uint64_t bytes = source["bytes_on_wire"].number(); bytes > 0)
        out += ", " + size_text(bytes) + " on the wire";
    if (const std::uint64_t bytes = source["bytes_unverified"].number(); bytes > 0)
        out += ", " + size_text(bytes) + " not read back yet";
    if (const std::uint64_t bytes = source["bytes_differed"].number(); bytes > 0)
        out += ", " + size_text(bytes) + " read back wrong and sent again";
    if (const std::uint64_t alarms = source["walk_alarms"].number(); alarms > 0)
        out += ", " + std::to_string(alarms) + " alarms of the comparison";
    if (const std::string detail = clean(source["detail"]); !detail.empty())
        out += " (" + detail + ")";
    return out;
}

std::string next_step(const Json& job) {
    const std::string name = job["name"].text();
    if (name.empty()) return {};
    const Json parked = job["parked"];
    if (!parked.is_null()) {
        const std::string advice = clean(parked["next"]);
        return advice.empty() ? "drover job why " + name : advice;
    }
    if (job["quarantined"].truth()) return "drover job why " + name;
    if (job["paused"].truth()) return "drover job resume " + name;

    struct Step {
        std::string_view phase;
        std::string_view before;
        std::string_view after;
    };

    constexpr std::array<Step, 14> steps{{
        {"planned", "drover job watch ", " --until ready"},
        {"blocked", "drover job why ", ""},
        {"ready", "drover job start ", ""},
        {"mirroring", "drover job watch ", " --until in_sync"},
        {"armed", "drover job cutover ", ""},
        {"fencing", "drover job watch ", " --until holding"},
        {"draining", "drover job watch ", " --until holding"},
        {"verifying", "drover job watch ", " --until holding"},
        {"activating", "drover job watch ", " --until holding"},
        {"validating", "drover job watch ", " --until holding"},
        {"holding", "drover job commit ", " --confirm " /* and the name */},
        {"rolling_back", "drover job watch ", " --until rolled_back"},
        {"rolled_back", "drover job resync ", ""},
        {"testing", "drover job test-revert ", ""},
    }};
    const std::string phase = job["phase"].text();
    if (phase == "syncing") {
        return job["data_state"].text() == "in_sync"
                   ? "drover job cutover " + name
                   : "drover job watch " + name + " --until in_sync";
    }
    for (const Step& step : steps) {
        if (step.phase != phase) continue;
        std::string out = std::string(step.before) + name + std::string(step.after);
        if (phase == "holding") out += name + ", or drover job rollback " + name;
        return out;
    }
    return {};
}

}  // namespace drover::cli
