#include "history/export_table.h"

#include "eventlog/chain.h"
#include "history/export_file.h"
#include "history/fact_json.h"
#include "history/time_text.h"

#include <array>

#include <boost/json/serialize.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

constexpr std::string_view csv_header =
    "seq,stream,stream_seq,time,event,by,why,epoch,cause,command_id,hash,data\r\n";

std::string cell(const std::string& text) {
    const bool is_formula =
        !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
    std::string out = is_formula ? "\"'" : "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + "\"";
}

std::string csv_line(const ExportedFact& fact) {
    const eventlog::Record& record = fact.record;
    std::string line;
    line += std::to_string(record.seq) + "," + cell(eventlog::stream_text(record.stream)) + ",";
    line += std::to_string(record.stream_seq) + "," + rfc3339(record.wall_micros) + ",";
    line += cell(fact.name) + "," + cell(record.actor) + "," + cell(why_of(fact)) + ",";
    line += std::to_string(record.epoch) + "," + std::to_string(record.cause) + ",";
    line += record.command_id.is_zero() ? "," : uuid_text(record.command_id) + ",";
    line += record.hash.hex() + "," + cell(json::serialize(fact.data)) + "\r\n";
    return line;
}

}  // namespace

Result<ExportedFact> exported_fact(const ExportEvent& event) {
    TRY(auto record, eventlog::decode_record(event.stored));
    ExportedFact out{std::move(record), "", {}};
    const auto fact = decode_record_fact(out.record);
    if (!fact) {
        out.name = "kind " + std::to_string(out.record.kind);
        return out;
    }
    out.name = std::string(name_of(*fact));
    json::object whole = record_json(out.record, *fact);
    if (json::object* data = whole["data"].if_object()) out.data = std::move(*data);
    return out;
}

std::string why_of(const ExportedFact& fact) {
    std::string why;
    for (const char* name : {"reason", "how", "cause", "acknowledged_loss", "detail"}) {
        const json::value* value = fact.data.if_contains(name);
        if (value == nullptr || !value->is_string() || value->get_string().empty()) continue;
        if (!why.empty()) why += "; ";
        why += std::string(name) + ": ";
        why.append(value->get_string().data(), value->get_string().size());
    }
    return why;
}

Result<> render_csv(const std::filesystem::path& exported, const TextSink& sink) {
    TRY_VOID(sink(csv_header));
    return read_export(exported, [&](const ExportLine& line) -> Result<bool> {
        const auto* event = std::get_if<ExportEvent>(&line);
        if (event == nullptr) return true;
        TRY(const auto fact, exported_fact(*event));
        TRY_VOID(sink(csv_line(fact)));
        return true;
    });
}

}  // namespace drover::history
