#include "history/evidence.h"

#include "history/export_check.h"
#include "history/export_file.h"
#include "history/export_table.h"
#include "history/time_text.h"

#include <algorithm>

#include <boost/json/serialize.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

constexpr std::string_view style =
    "body{font:14px/1.45 sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#111}"
    "table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}"
    "th,td{border:1px solid #999;padding:.25em .5em;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}"
    "th{background:#eee}code,pre{font:12px/1.4 monospace}pre{overflow:auto;max-height:20em}"
    ".bad{color:#a00;font-weight:bold}";

std::string text_in(const json::object& object, const char* name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || value->is_null()) return {};
    if (const json::string* text = value->if_string()) return {text->data(), text->size()};
    return json::serialize(*value);
}

/// The list called `name`, or nothing.
std::vector<json::object> list_in(const json::object& object, const char* name) {
    std::vector<json::object> out;
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_array()) return out;
    for (const json::value& item : value->get_array())
        if (item.is_object()) out.push_back(item.get_object());
    return out;
}

std::string seconds_text(WallMicros micros) {
    const std::string digits = std::to_string(micros / 1000 % 1000 + 1000);
    return std::to_string(micros / 1'000'000) + "." + digits.substr(1) + " s";
}

class Page {
  public:
    Page(const ExportReport& report, const std::vector<ExportedFact>& facts,
         const std::vector<std::string>& lines)
        : report_(report),
          header_(*report.header),
          facts_(facts),
          lines_(lines) {}

    std::string make() {
        begin();
        summary();
        checks();
        downtime();
        people();
        losses();
        verification();
        findings();
        timeline();
        chain();
        embedded();
        return std::move(out_);
    }

  private:
    void heading(std::string_view text) {
        out_ += "<h2>";
        out_ += text;
        out_ += "</h2>\n";
    }

    void paragraph(const std::string& text) { out_ += "<p>" + html_text(text) + "</p>\n"; }

    void begin_table(const std::vector<std::string_view>& columns) {
        out_ += "<table><thead><tr>";
        for (const std::string_view column : columns) {
            out_ += "<th scope=\"col\">";
            out_ += column;
            out_ += "</th>";
        }
        out_ += "</tr></thead><tbody>\n";
        rows_ = 0;
    }

    void row(const std::vector<std::string>& cells) {
        out_ += "<tr>";
        for (const std::string& cell : cells) out_ += "<td>" + html_text(cell) + "</td>";
        out_ += "</tr>\n";
        ++rows_;
    }

    void end_table(const std::string& otherwise) {
        out_ += "</tbody></table>\n";
        if (rows_ == 0) paragraph(otherwise);
    }

    void begin() {
        const std::string title = html_text("Evidence of job " + header_.job_name);
        out_ += "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>" +
                title + "</title>\n<style>";
        out_ += style;
        out_ += "</style></head><body>\n<h1>" + title + "</h1>\n";
        paragraph("Made by " + header_.software + " at " + rfc3339(header_.wall_micros) +
                  " from the event log of the migration. All times are UTC. Everything below is "
                  "decoded from the records at the end of this page; drover audit verify --export "
                  "THIS-FILE proves them, and that this text is what they say.");
    }

    void summary() {
        heading("The job");
        begin_table({"what", "value"});
        row({"job", header_.job_name});
        row({"job id", uuid_text(*header_.job)});
        row({"log", uuid_text(header_.lineage)});
        for (const ExportedFact& fact : facts_) {
            if (fact.name != "JobPlanned") continue;
            const json::value* spec = fact.data.if_contains("spec");
            if (spec == nullptr || !spec->is_object()) continue;
            const json::object& plan = spec->get_object();
            row({"planned by", fact.record.actor});
            row({"source", text_in(plan, "source_agent")});
            row({"target", text_in(plan, "target_agent")});
            for (const json::object& disk : list_in(plan, "disks"))
                row({"disk", text_in(disk, "source") + " to " + text_in(disk, "target")});
        }
        if (!facts_.empty()) {
            row({"first event", rfc3339(facts_.front().record.wall_micros)});
            row({"last event",
                 rfc3339(facts_.back().record.wall_micros) + " " + facts_.back().name});
        }
        end_table("");
    }

    void checks() {
        heading("Is this record whole?");
        if (report_.findings.empty())
            paragraph("Yes: " + std::to_string(report_.events) +
                      " events, each with its hash, linked from the first to the last, and each "
                      "covered by a signed anchor. The fingerprint of the key is to be compared "
                      "with one that was obtained elsewhere.");
        for (const eventlog::Finding& finding : report_.findings)
            out_ += "<p class=\"bad\">" + html_text(finding.id + ": " + finding.detail) + "</p>\n";
        begin_table({"key that signed", "fingerprint"});
        row({"anchors and end", key_fingerprint(header_.key).hex()});
        end_table("");
    }

    /// From the order to stop the source until one side was open again.
    void downtime() {
        heading("Downtime");
        begin_table({"began", "source fenced", "ended", "by", "at most", "from fence"});
        const ExportedFact* began = nullptr;
        const ExportedFact* fenced = nullptr;
        for (const ExportedFact& fact : facts_) {
            if (fact.name == "CutoverStarted") {
                began = &fact;
                fenced = nullptr;
            }
            if (fact.name == "SourceFenced") fenced = &fact;
            const bool is_end = fact.name == "TargetActivated" || fact.name == "SourceReleased";
            if (!is_end || began == nullptr) continue;
            const WallMicros end = fact.record.wall_micros;
            row({rfc3339(began->record.wall_micros),
                 fenced ? rfc3339(fenced->record.wall_micros) : "", rfc3339(end), fact.name,
                 seconds_text(end - began->record.wall_micros),
                 fenced ? seconds_text(end - fenced->record.wall_micros) : ""});
            began = nullptr;
        }
        if (began != nullptr)
            row({rfc3339(began->record.wall_micros),
                 fenced ? rfc3339(fenced->record.wall_micros) : "", "not in this record", "", "",
                 ""});
        end_table("There was none.");
    }

    void people() {
        heading("Who did what, when and why");
        begin_table({"time", "who", "what", "why", "seq"});
        for (const ExportedFact& fact : facts_) {
            const bool is_person = fact.record.actor.starts_with("operator:") ||
                                   fact.record.actor.starts_with("user:");
            if (is_person)
                row({rfc3339(fact.record.wall_micros), fact.record.actor, fact.name, why_of(fact),
                     std::to_string(fact.record.seq)});
        }
        end_table("No person did anything.");
    }

    void losses() {
        heading("Approvals, confirmations and acknowledged losses");
        begin_table({"time", "who", "what", "in their words", "seq"});
        for (const ExportedFact& fact : facts_) {
            const bool is_approval = fact.name == "CutoverArmed" || fact.name == "Committed" ||
                                     fact.name == "ValidationWaived" ||
                                     fact.name == "TargetStopConfirmed" ||
                                     fact.name == "DeletionStarted";
            const std::string loss = text_in(fact.data, "acknowledged_loss");
            if (!is_approval && loss.empty()) continue;
            const std::string plan = text_in(fact.data, "plan_hash");
            row({rfc3339(fact.record.wall_micros), fact.record.actor, fact.name,
                 why_of(fact) + (plan.empty() ? "" : " plan " + plan),
                 std::to_string(fact.record.seq)});
        }
        end_table("There are none.");
    }

    /// By induction: what was written to the target's disks was read from them again.
    [[nodiscard]] static std::string read_back_text(const json::object& data) {
        const auto bytes = [&data](const char* name) {
            const std::string text = text_in(data, name);
            return text.empty() ? std::string("0") : text;
        };
        return "read back from the target and compared; " + bytes("bytes_differed") +
               " differed and were sent again, " + bytes("bytes_unverified") + " not read back";
    }

    void verification() {
        heading("Comparison of both disks, and checks");
        begin_table(
            {"time", "what", "disk", "bytes", "root of the source", "root of the target", "seq"});
        for (const ExportedFact& fact : facts_) {
            const std::string time = rfc3339(fact.record.wall_micros);
            const std::string seq = std::to_string(fact.record.seq);
            std::size_t index = 0;
            if (fact.name == "DeltaDrained" && fact.data.contains("bytes_read_back"))
                row({time, fact.name, "", text_in(fact.data, "bytes_read_back"),
                     read_back_text(fact.data), "", seq});
            if (fact.name == "TargetVerified" || fact.name == "ReverseVerified")
                for (const json::object& disk : list_in(fact.data, "disks"))
                    row({time, fact.name, std::to_string(index++), text_in(disk, "bytes"),
                         text_in(disk, "source_root"), text_in(disk, "target_root"), seq});
            if (fact.name == "MismatchFound")
                for (const json::object& range : list_in(fact.data, "ranges"))
                    row({time, fact.name, text_in(range, "disk"), text_in(range, "length"),
                         "differs at " + text_in(range, "offset"), "", seq});
            if (fact.name == "TargetValidated")
                row({time, fact.name, "", "", text_in(fact.data, "check"), "", seq});
            if (fact.name == "ValidationFailed" || fact.name == "ValidationWaived")
                row({time, fact.name, "", "", json::serialize(fact.data), "", seq});
        }
        end_table("Nothing was compared.");
    }

    void findings() {
        heading("Findings of the preflights");
        begin_table({"time", "severity", "finding", "object", "detail", "seq"});
        for (const ExportedFact& fact : facts_) {
            std::vector<json::object> found = list_in(fact.data, "findings");
            const json::value* result = fact.data.if_contains("result");
            if (result != nullptr && result->is_object())
                found = list_in(result->get_object(), "findings");
            for (const json::object& finding : found)
                row({rfc3339(fact.record.wall_micros), text_in(finding, "severity"),
                     text_in(finding, "id"), text_in(finding, "object"), text_in(finding, "detail"),
                     std::to_string(fact.record.seq)});
        }
        end_table("There are none.");
    }

    void timeline() {
        heading("Every event");
        begin_table({"seq", "no.", "time", "event", "by", "cause", "data"});
        for (const ExportedFact& fact : facts_)
            row({std::to_string(fact.record.seq), std::to_string(fact.record.stream_seq),
                 rfc3339(fact.record.wall_micros), fact.name, fact.record.actor,
                 fact.record.cause == 0 ? "" : std::to_string(fact.record.cause),
                 json::serialize(fact.data)});
        end_table("There are none.");
    }

    void chain() {
        heading("The chain and its anchors");
        begin_table({"events", "hash of the last", "Merkle root", "made", "digest"});
        for (const eventlog::AnchorCover& cover : report_.covers)
            row({std::to_string(cover.anchor.first_seq) + " to " +
                     std::to_string(cover.anchor.last_seq),
                 cover.anchor.last_hash.hex(), cover.anchor.merkle_root.hex(),
                 rfc3339(cover.anchor.wall_micros), anchor_digest(cover.anchor).hex()});
        end_table("There are none.");
        begin_table({"seq", "hash", "hash of the job's event before"});
        for (const ExportedFact& fact : facts_)
            row({std::to_string(fact.record.seq), fact.record.hash.hex(),
                 fact.record.prev_stream_hash.hex()});
        end_table("There are no events.");
    }

    void embedded() {
        heading("The export itself");
        out_ += pack_export_begin;
        out_ += "\n";
        // As they are: their writer leaves nothing in them that HTML would take for markup.
        for (const std::string& line : lines_) out_ += line + "\n";
        out_ += pack_export_end;
        out_ += "\n</body></html>\n";
    }

    const ExportReport& report_;
    const ExportHeader& header_;
    const std::vector<ExportedFact>& facts_;
    const std::vector<std::string>& lines_;
    std::string out_;
    std::size_t rows_ = 0;
};

/// Bytes of the character that begins at `at`, 0 if it is no printable one of UTF-8.
std::size_t character_bytes(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (byte(at) < 0x80) return byte(at) >= 0x20 && byte(at) != 0x7f ? 1 : 0;
    const std::size_t size = byte(at) >= 0xf0 ? 4 : byte(at) >= 0xe0 ? 3 : 2;
    if (byte(at) < 0xc2 || byte(at) > 0xf4 || at + size > text.size()) return 0;
    for (std::size_t i = at + 1; i < at + size; ++i)
        if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
    // C1 controls, surrogates, and the marks that turn the direction of text around.
    const bool is_hidden = (byte(at) == 0xc2 && byte(at + 1) < 0xa0) ||
                           (byte(at) == 0xed && byte(at + 1) >= 0xa0) ||
                           (byte(at) == 0xe2 && byte(at + 1) == 0x80 && byte(at + 2) >= 0x8b &&
                            byte(at + 2) <= 0xaf) ||
                           (byte(at) == 0xe2 && byte(at + 1) == 0x81 && byte(at + 2) >= 0xa0);
    return is_hidden ? 0 : size;
}

}  // namespace

std::string html_text(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t size = character_bytes(text, at);
        const char c = text[at];
        if (size == 0)
            out += "&#xfffd;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '&')
            out += "&amp;";
        else if (c == '"')
            out += "&quot;";
        else if (c == '\'')
            out += "&#39;";
        else
            out += text.substr(at, size);
        at += std::max<std::size_t>(size, 1);
    }
    return out;
}

Result<std::string> evidence_page(const std::vector<std::string>& lines) {
    ExportCheck check({});
    std::vector<ExportedFact> facts;
    for (const std::string& line : lines) {
        check.see(line);
        TRY(const auto parsed, parse_export_line(line));
        // A line that parses is not yet one that our writer wrote.
        if (line.find_first_of("<>&") != std::string::npos)
            return Error(Errc::corrupt, "export_line_damaged", "a line holds markup");
        if (const auto* event = std::get_if<ExportEvent>(&parsed)) {
            TRY(auto fact, exported_fact(*event));
            facts.push_back(std::move(fact));
        }
    }
    const ExportReport report = check.finish();
    if (!report.header || !report.header->job)
        return Error(Errc::invalid, "not_a_job_export",
                     "an evidence pack is made of one job, this export is of the whole log",
                     "nothing was written", "export with --job NAME");
    return Page(report, facts, lines).make();
}

}  // namespace drover::history
