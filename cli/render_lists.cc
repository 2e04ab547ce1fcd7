#include "base/bytes.h"
#include "cli/render.h"
#include "cli/table.h"
#include "cli/units.h"

#include <array>
#include <map>

namespace drover::cli {
namespace {

constexpr std::size_t cell_length_max = 200;
constexpr std::size_t value_length_max = 60;

std::string clean(const Json& value, std::size_t length_max = cell_length_max) {
    return printable(value.text(), length_max);
}

std::string flags_of(const Json& job) {
    std::string out;
    const auto add = [&out](std::string_view word) {
        out += (out.empty() ? "" : ",") + std::string(word);
    };
    if (job["paused"].truth()) add("paused");
    if (!job["parked"].is_null()) add("parked:" + clean(job["parked"]["id"]));
    if (!job["quarantined"].text().empty() && job["quarantined"].text() != "false")
        add("quarantined");
    if (job["decision_overdue"].truth()) add("decision-overdue");
    return out;
}

/// "key=value key=value" of the scalar members; the rest is in -o json.
std::string scalars_of(const Json& data) {
    std::string out;
    for (const auto& [key, value] : data.members()) {
        const std::string text = clean(value, value_length_max);
        if (value.is_object() || value.is_array() || text.empty()) continue;
        out += (out.empty() ? "" : " ") + printable(key, value_length_max) + "=" + text;
    }
    return out;
}

std::vector<std::string> cells_of(const Json& fact) {
    return {clean(fact["seq"]), clean(fact["time"]), clean(fact["event"]), clean(fact["by"]),
            scalars_of(fact["data"])};
}

}  // namespace

std::string render_jobs(const Json& list) {
    Table table({"NAME", "PHASE", "DATA", "BACKLOG", "SOURCE", "TARGET", "FLAGS"});
    for (const Json& job : list["items"].items()) {
        table.add({clean(job["name"]), clean(job["phase"]), clean(job["data_state"]),
                   size_text(job["backlog_bytes"].number()), clean(job["source_agent"]),
                   clean(job["target_agent"]), flags_of(job)});
    }
    return table.str();
}

std::string render_points(const Json& points) {
    const std::string as_of = clean(points["as_of"]);
    if (points["items"].items().empty())
        return "no points: the target keeps no journal, its copy is not in sync by the eBPF "
               "tracker, or it has said nothing yet\n";
    Table table({"POINT", "TAKEN", "KIND"});
    for (const Json& point : points["items"].items())
        table.add({clean(point["point"]), clean(point["taken_at"]), clean(point["kind"])});
    return table.str() + "as of " + as_of + ", " + size_text(points["journal_lag_bytes"].number()) +
           " not on the disks yet\n";
}

std::string render_history(const Json& history) {
    // The cause by name where its event is in sight, and by number in any case.
    std::map<std::string, std::string> names;
    Table table({"SEQ", "TIME", "EVENT", "CAUSE", "BY", "DETAILS"});
    for (const Json& fact : history["items"].items()) {
        std::vector<std::string> cells = cells_of(fact);
        const std::string cause = clean(fact["cause"]);
        const auto named = names.find(cause);
        std::string link = cause == "0" ? "" : cause;
        if (named != names.end()) link += " " + named->second;
        names[cells[0]] = cells[2];
        cells.insert(cells.begin() + 3, std::move(link));
        table.add(std::move(cells));
    }
    return table.str();
}

std::string render_fact(const Json& fact) {
    std::string out;
    for (const std::string& cell : cells_of(fact)) {
        if (!cell.empty()) out += (out.empty() ? "" : "  ") + cell;
    }
    return out + '\n';
}

std::string render_agents(const Json& list) {
    Table table({"NAME", "CONNECTED", "ROLES", "ADDRESS", "SOFTWARE", "LAST SEEN"});
    for (const Json& agent : list["items"].items()) {
        std::string roles;
        for (const Json& role : agent["roles"].items())
            roles += (roles.empty() ? "" : ",") + clean(role);
        table.add({clean(agent["name"]), agent["connected"].truth() ? "yes" : "no", roles,
                   clean(agent["address"]), clean(agent["software"]), clean(agent["last_seen"])});
    }
    return table.str();
}

std::string render_agent(const Json& agent) {
    std::string out = clean(agent["name"]) +
                      (agent["connected"].truth() ? ": connected" : ": not connected") +
                      ", last seen " + clean(agent["last_seen"]) + "\n  address   " +
                      clean(agent["address"]) + "\n  software  " + clean(agent["software"]) + "\n";
    if (!agent["alarm"].is_null()) out += "  alarm     " + clean(agent["alarm"]) + "\n";
    const auto unknown = agent["unknown_jobs"].items();
    if (unknown.empty()) return out;
    Table table({"JOB UNKNOWN TO THIS LOG", "SIDE", "FENCE", "TARGET"});
    for (const Json& world : unknown) {
        const std::string name = clean(world["name"]);
        const std::string fence = world["fence"].is_null() ? "-" : clean(world["fence"]);
        table.add({name.empty() ? clean(world["job"]) : name, clean(world["side"]), fence,
                   clean(world["handover"])});
    }
    return out + table.str() +
           "Nothing is asked of these. Once it is certain which side serves, end them on the "
           "host:\n"
           "drover-agent fence remove --token T, or drover-agent release --job J --confirm J\n";
}

std::string render_audit(const Json& answer) {
    const Json head = answer["head"];
    std::string out = answer["ok"].truth() ? "ok: the record is what was written\n"
                                           : "MISMATCH: the record is not what was written\n";
    if (!answer["checked"].is_null()) out += "  checked  " + clean(answer["checked"]) + "\n";
    if (!answer["job"].is_null()) out += "  job      " + clean(answer["job"]) + "\n";
    out += "  events   " + clean(answer["events"]);
    if (!answer["streams"].is_null()) out += " in " + clean(answer["streams"]) + " streams";
    out += "\n  head     seq " + clean(head["seq"]);
    if (!head["epoch"].is_null()) out += ", epoch " + clean(head["epoch"]);
    out += ", hash " + clean(head["hash"]) + "\n  lineage  " + clean(head["lineage"]) + "\n";
    const Json anchors = answer["anchors"];
    if (!anchors.is_null()) out += "  anchors  " + clean(anchors["count"]);
    if (!anchors["covered_to"].is_null())
        out += ", covering events 1 to " + clean(anchors["covered_to"]);
    if (!anchors["confirmed"].is_null())
        out += ", " + clean(anchors["confirmed"]) + " confirmed from elsewhere";
    if (anchors["younger"].number() > 0)
        out += ", " + clean(anchors["younger"]) + " elsewhere are younger than the export";
    if (!anchors.is_null()) out += "\n";
    if (!anchors["key"].is_null()) out += "  key      " + clean(anchors["key"]) + "\n";
    for (const Json& key : anchors["keys"].items()) out += "  key      " + clean(key) + "\n";
    for (const Json& cover : anchors["covers"].items())
        out += "  covered  " + clean(cover["first_seq"]) + " to " + clean(cover["last_seq"]) +
               (cover["holds"].truth() ? "  holds  " : "  DOES NOT HOLD  ") + clean(cover["time"]) +
               "  " + clean(cover["from"]) + "\n";
    if (!answer["first_bad"].is_null())
        out += "  first bad  " + scalars_of(answer["first_bad"]) + "\n";
    for (const Json& finding : answer["findings"].items())
        out += "  finding  " + scalars_of(finding) + "\n";
    return out;
}

std::string render_anchor(const Json& answer) {
    return "anchored: events " + clean(answer["first_seq"]) + " to " + clean(answer["last_seq"]) +
           "\n  digest   " + clean(answer["digest"]) + "\n  key      " + clean(answer["key"]) +
           "\n";
}

std::string render_replay(const Json& answer) {
    std::string out = answer["ok"].truth()
                          ? "ok: the replayed state equals the live one\n"
                          : "MISMATCH: the replayed state differs from the live one\n";
    out += "  " + clean(answer["events"]) + " events, " + clean(answer["jobs"]) + " jobs\n";
    for (const Json& difference : answer["differences"].items()) {
        out += "  differs  " + scalars_of(difference) + "\n";
    }
    return out;
}

}  // namespace drover::cli
