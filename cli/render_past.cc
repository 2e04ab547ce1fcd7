#include "base/bytes.h"
#include "cli/render.h"
#include "cli/table.h"

namespace drover::cli {
namespace {

constexpr std::size_t value_length_max = 200;

std::string clean(const Json& value) {
    return printable(value.text(), value_length_max);
}

std::string or_nothing(const Json& value) {
    return value.is_null() ? "(nothing)" : clean(value);
}

std::string changes_table(const Json& changes) {
    Table table({"FIELD", "FROM", "TO"});
    for (const Json& change : changes.items()) {
        table.add({clean(change["field"]), or_nothing(change["from"]), or_nothing(change["to"])});
    }
    return table.str();
}

std::string parting_text(const Json& parting, const Json& jobs) {
    std::string out;
    const auto names = jobs.items();
    const auto facts = parting["facts"].items();
    for (std::size_t i = 0; i < facts.size() && i < names.size(); ++i) {
        out += "  " + clean(names[i]) + ": " +
               (facts[i].is_null() ? "no such fact\n" : render_fact(facts[i]));
    }
    return out;
}

std::string phases_of(const Json& answer) {
    const std::string before = clean(answer["phase"]);
    const std::string after = clean(answer["phase_after"]);
    return before == after ? before : before + " -> " + after;
}

}  // namespace

std::string render_diff(const Json& diff) {
    std::string out = clean(diff["job"]) + "  from seq " + clean(diff["from"]["seq"]) + " (" +
                      clean(diff["from"]["time"]) + ") to seq " + clean(diff["to"]["seq"]) + " (" +
                      clean(diff["to"]["time"]) + ")\n";
    if (diff["changes"].items().empty()) return out + "nothing is different\n";
    return out + changes_table(diff["changes"]);
}

std::string render_what_if(const Json& answer) {
    std::string out = clean(answer["action"]) + " on " + clean(answer["job"]) + " as of seq " +
                      clean(answer["as_of_seq"]) + ": ";
    if (const Json refused = answer["refused"]; !refused.is_null()) {
        out += "refused: " + clean(refused["id"]) + ": " + clean(refused["detail"]) + "\n";
        return out + "  next: " + clean(refused["next"]) + "\n";
    }
    out += "accepted\n  phase        " + phases_of(answer) + "\n";
    for (const Json& fact : answer["events"].items()) out += "  would append " + render_fact(fact);
    if (answer["events"].items().empty()) out += "  would append nothing: it is already so\n";
    for (const Json& effect : answer["outstanding"].items()) {
        out += "  then wanted  " + clean(effect["kind"]) + " at " + clean(effect["agent"]) + " (" +
               clean(effect["side"]) + ")\n";
    }
    return out;
}

std::string render_compare(const Json& answer) {
    const Json jobs = answer["jobs"];
    const auto facts = answer["facts"].items();
    if (answer["equal"].truth() && !facts.empty()) {
        return "the same " + clean(facts.front()) +
               " facts, but for ids, times and the names of job, agents and disks\n";
    }
    const Json first = answer["first_difference"];
    std::string out = "first different fact: number " + clean(first["position"]) + "\n" +
                      parting_text(first, jobs) + changes_table(first["fields"]);
    const Json other = answer["first_other_event"];
    if (other.is_null()) return out + "the events are the same to the end\n";
    if (clean(other["position"]) == clean(first["position"])) return out;
    return out + "first other event: number " + clean(other["position"]) + "\n" +
           parting_text(other, jobs);
}

std::string render_run(const Json& answer) {
    Table table({"SEQ", "TIME", "EVENT", "JOB", "PHASE", "CAUSE", "BY"});
    for (const Json& fact : answer["timeline"].items()) {
        const std::string cause = clean(fact["cause"]);
        table.add({clean(fact["seq"]), clean(fact["time"]), clean(fact["event"]),
                   clean(fact["job"]), clean(fact["phase"]), cause == "0" ? "" : cause,
                   clean(fact["by"])});
    }
    std::string out;
    if (answer["timeline_cut"].truth()) out += "the older events are left out\n";
    out += table.str();
    for (const Json& job : answer["jobs"].items()) out += "\n" + render_job(job);
    out += "\n" + clean(answer["events"]) + " events of lineage " + clean(answer["lineage"]);
    if (answer["ok"].truth()) return out + ": ok, every one is legal\n";
    out += ": NOT OK\n";
    for (const Json& finding : answer["findings"].items()) {
        out += "  seq " + clean(finding["seq"]) + "  " + clean(finding["id"]) + ": " +
               clean(finding["detail"]) + "\n";
    }
    return out;
}

}  // namespace drover::cli
