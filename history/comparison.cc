#include "history/comparison.h"

#include "history/difference.h"
#include "history/fact_json.h"
#include "history/job_past.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

struct Line {
    std::string event;
    json::value normal;
    json::object shown;
};

constexpr std::size_t hex_id_length_min = 32;

bool is_id(std::string_view text) {
    if (uuid_from_text(text)) return true;
    if (text.starts_with("-----BEGIN")) return true;  // a certificate
    return text.size() >= hex_id_length_min &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string role_of(std::string_view text, const JobSpec& spec) {
    if (text == spec.name) return "(job)";
    if (text == spec.source_agent) return "(source)";
    if (text == spec.target_agent) return "(target)";
    if (text == "agent:" + spec.source_agent) return "agent:(source)";
    if (text == "agent:" + spec.target_agent) return "agent:(target)";
    for (std::size_t i = 0; i < spec.disks.size(); ++i) {
        const std::string disk = "(disk " + std::to_string(i);
        if (text == spec.disks[i].source) return disk + " of the source)";
        if (text == spec.disks[i].target) return disk + " of the target)";
    }
    return is_id(text) ? "(id)" : std::string(text);
}

Result<std::vector<Line>> lines_of(const eventlog::EventLog& log, const JobEntry& entry) {
    std::vector<Line> lines;
    TRY_VOID(read_job(log, entry.job.id, 1, [&](const eventlog::Record& record, const Fact& fact) {
        json::object shown = record_json(record, fact);
        json::object comparable{
            {"event", shown["event"]}, {"by", shown["by"]}, {"data", shown["data"]}};
        lines.push_back(
            {std::string(name_of(fact)), normalised(comparable, entry.job.spec), std::move(shown)});
        return true;
    }));
    return lines;
}

json::value shown_at(const std::vector<Line>& lines, std::size_t index) {
    return index < lines.size() ? json::value(lines[index].shown) : json::value(nullptr);
}

json::value normal_at(const std::vector<Line>& lines, std::size_t index) {
    return index < lines.size() ? lines[index].normal : json::value(nullptr);
}

/// The first index at which `same` says no; the length of both if there is none.
template <class Same>
std::size_t parting(const std::vector<Line>& one, const std::vector<Line>& other, Same same) {
    const std::size_t both = std::min(one.size(), other.size());
    for (std::size_t i = 0; i < both; ++i) {
        if (!same(one[i], other[i])) return i;
    }
    return both;
}

json::value parting_json(const std::vector<Line>& one, const std::vector<Line>& other,
                         std::size_t index) {
    if (index >= one.size() && index >= other.size()) return nullptr;
    const auto differing = changes(normal_at(one, index), normal_at(other, index));
    return json::object{{"position", index + 1},
                        {"facts", json::array{shown_at(one, index), shown_at(other, index)}},
                        {"fields", changes_json(differing)}};
}

}  // namespace

json::value normalised(const json::value& data, const JobSpec& spec) {
    if (data.is_object()) {
        json::object out;
        for (const auto& member : data.get_object()) {
            const std::string_view key(member.key().data(), member.key().size());
            const bool is_time = key.ends_with("_micros") && member.value().is_number();
            out[member.key()] = is_time ? json::value("(time)") : normalised(member.value(), spec);
        }
        return out;
    }
    if (data.is_array()) {
        json::array out;
        for (const json::value& element : data.get_array()) {
            out.push_back(normalised(element, spec));
        }
        return out;
    }
    if (!data.is_string()) return data;
    const json::string& text = data.get_string();
    return json::value(role_of({text.data(), text.size()}, spec));
}

Result<json::object> compare_jobs(const eventlog::EventLog& log, const JobEntry& one,
                                  const JobEntry& other) {
    TRY(const auto left, lines_of(log, one));
    TRY(const auto right, lines_of(log, other));
    const std::size_t differing =
        parting(left, right, [](const Line& a, const Line& b) { return a.normal == b.normal; });
    const std::size_t other_event =
        parting(left, right, [](const Line& a, const Line& b) { return a.event == b.event; });
    const bool equal = differing == left.size() && differing == right.size();
    return json::object{{"jobs", json::array{one.job.spec.name, other.job.spec.name}},
                        {"facts", json::array{left.size(), right.size()}},
                        {"equal", equal},
                        {"first_difference", parting_json(left, right, differing)},
                        {"first_other_event", parting_json(left, right, other_event)}};
}

}  // namespace drover::history
