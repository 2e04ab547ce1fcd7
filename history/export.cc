#include "history/export.h"

#include "eventlog/chain.h"
#include "history/fact_json.h"

#include <array>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

constexpr std::string_view format_name = "drover-export";
constexpr std::string_view end_domain = "drover-export-end1";
constexpr std::size_t path_hashes_max = 16;  // 1,024 events need ten

Error damaged(const std::string& what) {
    return Error(Errc::corrupt, "export_line_damaged", what);
}

/// Markup never leaves here as itself: such a character can only stand inside a JSON string, where
/// its escape means the same.
std::string line_of(const json::object& object) {
    std::string line;
    for (const char c : json::serialize(object)) {
        if (c == '<')
            line += "\\u003c";
        else if (c == '>')
            line += "\\u003e";
        else if (c == '&')
            line += "\\u0026";
        else
            line += c;
    }
    return line + "\n";
}

struct Writer {
    json::object operator()(const ExportHeader& header) const {
        json::object what{{"format", to_json(format_name)},
                          {"version", header.version},
                          {"lineage", uuid_text(header.lineage)}};
        if (header.job) {
            what["job"] = uuid_text(*header.job);
            what["job_name"] = header.job_name;
        }
        what["head_seq"] = header.head_seq;
        what["head_hash"] = header.head_hash.hex();
        what["events"] = header.events;
        what["key"] = header.key.hex();
        what["software"] = header.software;
        what["wall_micros"] = header.wall_micros;
        return {{"export", std::move(what)}};
    }

    json::object operator()(const eventlog::Anchor& anchor) const {
        return {{"anchor", json::object{{"lineage", uuid_text(anchor.lineage)},
                                        {"first_seq", anchor.first_seq},
                                        {"last_seq", anchor.last_seq},
                                        {"last_hash", anchor.last_hash.hex()},
                                        {"merkle_root", anchor.merkle_root.hex()},
                                        {"epoch", anchor.epoch},
                                        {"wall_micros", anchor.wall_micros},
                                        {"previous", anchor.previous.hex()},
                                        {"key", anchor.key.hex()},
                                        {"signature", anchor.signature.hex()}}}};
    }

    json::object operator()(const ExportEvent& event) const {
        json::array path;
        for (const Hash& hash : event.path) path.emplace_back(hash.hex());
        json::object out;
        // For people and for grep; the record says the same and is what counts.
        if (const auto record = eventlog::decode_record(event.stored)) {
            out["seq"] = record->seq;
            out["stream"] = eventlog::stream_text(record->stream);
            out["stream_seq"] = record->stream_seq;
        }
        out["record"] = to_base64(event.stored);
        out["anchor"] = event.anchor_last_seq;
        out["path"] = std::move(path);
        return {{"event", std::move(out)}};
    }

    json::object operator()(const ExportEnd& end) const {
        return {{"end", json::object{{"events", end.events},
                                     {"digest", end.digest.hex()},
                                     {"signature", end.signature.hex()}}}};
    }
};

/// Reads members of one object and remembers whether one was missing or of another type.
class Reader {
  public:
    explicit Reader(const json::object& object)
        : object_(object) {}

    template <class Number>
    Number number(std::string_view name) {
        const json::value* value = member(name);
        json::error_code error;
        const Number number = value != nullptr ? value->to_number<Number>(error) : Number{};
        if (error) ok_ = false;
        return number;
    }

    std::string text(std::string_view name) {
        const json::value* value = member(name);
        if (value == nullptr || !value->is_string()) {
            ok_ = false;
            return {};
        }
        return std::string(value->get_string());
    }

    template <class Fixed>
    Fixed fixed(std::string_view name) {
        const auto value = Fixed::from_hex_text(text(name));
        if (!value) ok_ = false;
        return value.value_or(Fixed{});
    }

    Uuid uuid(std::string_view name) {
        const auto value = uuid_from_text(text(name));
        if (!value) ok_ = false;
        return value.value_or(Uuid{});
    }

    Bytes base64(std::string_view name) {
        auto value = from_base64(text(name));
        if (!value) ok_ = false;
        return std::move(value).value_or(Bytes{});
    }

    std::vector<Hash> hashes(std::string_view name) {
        const json::value* value = member(name);
        std::vector<Hash> hashes;
        if (value == nullptr || !value->is_array() || value->get_array().size() > path_hashes_max) {
            ok_ = false;
            return hashes;
        }
        for (const json::value& item : value->get_array()) {
            const auto hash = item.is_string()
                                  ? Hash::from_hex_text(std::string_view(item.get_string().data(),
                                                                         item.get_string().size()))
                                  : std::nullopt;
            if (!hash) ok_ = false;
            hashes.push_back(hash.value_or(Hash{}));
        }
        return hashes;
    }

    [[nodiscard]] bool has(std::string_view name) const {
        return object_.if_contains(to_json(name)) != nullptr;
    }

    [[nodiscard]] bool ok() const { return ok_; }

  private:
    const json::value* member(std::string_view name) {
        const json::value* value = object_.if_contains(to_json(name));
        if (value == nullptr) ok_ = false;
        return value;
    }

    const json::object& object_;
    bool ok_ = true;
};

Result<ExportLine> read_header(const json::object& object) {
    Reader in(object);
    if (in.text("format") != format_name) return damaged("this is no export of drover");
    ExportHeader header;
    header.version = in.number<std::uint32_t>("version");
    if (in.ok() && header.version != export_version)
        return Error(Errc::unsupported, "export_unsupported",
                     "the export is of version " + std::to_string(header.version),
                     "nothing was changed", "read it with the newer drover that made it");
    header.lineage = in.uuid("lineage");
    if (in.has("job")) {
        header.job = in.uuid("job");
        header.job_name = in.text("job_name");
    }
    header.head_seq = in.number<std::uint64_t>("head_seq");
    header.head_hash = in.fixed<Hash>("head_hash");
    header.events = in.number<std::uint64_t>("events");
    header.key = in.fixed<PublicKey>("key");
    header.software = in.text("software");
    header.wall_micros = in.number<std::int64_t>("wall_micros");
    if (!in.ok()) return damaged("the header lacks a member");
    return ExportLine(std::move(header));
}

Result<ExportLine> read_anchor(const json::object& object) {
    Reader in(object);
    eventlog::Anchor anchor;
    anchor.lineage = in.uuid("lineage");
    anchor.first_seq = in.number<std::uint64_t>("first_seq");
    anchor.last_seq = in.number<std::uint64_t>("last_seq");
    anchor.last_hash = in.fixed<Hash>("last_hash");
    anchor.merkle_root = in.fixed<Hash>("merkle_root");
    anchor.epoch = in.number<std::uint32_t>("epoch");
    anchor.wall_micros = in.number<std::int64_t>("wall_micros");
    anchor.previous = in.fixed<Hash>("previous");
    anchor.key = in.fixed<PublicKey>("key");
    anchor.signature = in.fixed<Signature>("signature");
    if (!in.ok()) return damaged("an anchor lacks a member");
    return ExportLine(anchor);
}

Result<ExportLine> read_event(const json::object& object) {
    Reader in(object);
    ExportEvent event;
    const auto seq = in.number<std::uint64_t>("seq");
    const std::string stream = in.text("stream");
    const auto stream_seq = in.number<std::uint32_t>("stream_seq");
    event.stored = in.base64("record");
    event.anchor_last_seq = in.number<std::uint64_t>("anchor");
    event.path = in.hashes("path");
    if (!in.ok()) return damaged("the line of event " + std::to_string(seq) + " lacks a member");
    // What people read on the line must be what the record says.
    const auto record = eventlog::decode_record(event.stored);
    if (!record) return damaged("event " + std::to_string(seq) + ": " + record.error().detail());
    if (record->seq != seq || record->stream_seq != stream_seq ||
        eventlog::stream_text(record->stream) != stream)
        return damaged("the line of event " + std::to_string(seq) +
                       " names another place than its record");
    return ExportLine(std::move(event));
}

Result<ExportLine> read_end(const json::object& object) {
    Reader in(object);
    ExportEnd end;
    end.events = in.number<std::uint64_t>("events");
    end.digest = in.fixed<Hash>("digest");
    end.signature = in.fixed<Signature>("signature");
    if (!in.ok()) return damaged("the end lacks a member");
    return ExportLine(end);
}

using LineReader = Result<ExportLine> (*)(const json::object&);

constexpr std::array<std::pair<std::string_view, LineReader>, 4> readers{
    {{"export", read_header}, {"anchor", read_anchor}, {"event", read_event}, {"end", read_end}}};

}  // namespace

std::string export_line(const ExportLine& line) {
    return line_of(std::visit(Writer{}, line));
}

Result<ExportLine> parse_export_line(std::string_view line) {
    if (line.size() > export_line_bytes_max) return damaged("a line is too long");
    json::error_code error;
    const json::value value = json::parse(to_json(line), error);
    if (error || !value.is_object() || value.get_object().size() != 1)
        return damaged("a line is not one JSON object");
    const auto& [name, member] = *value.get_object().begin();
    if (!member.is_object()) return damaged("a line has another form");
    for (const auto& [known, read] : readers)
        if (name == to_json(known)) return read(member.get_object());
    return damaged("a line is of an unknown sort");
}

Bytes export_end_message(const ExportEnd& end) {
    Bytes out;
    put_bytes(out, as_bytes(end_domain));
    put_u64(out, end.events);
    put_bytes(out, end.digest.view());
    return out;
}

}  // namespace drover::history
