#include "cli/audit_offline.h"

#include "base/file.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "eventlog/audit.h"
#include "history/anchor_file.h"
#include "history/evidence.h"
#include "history/export_file.h"
#include "history/export_table.h"
#include "history/time_text.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace drover::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t key_file_bytes_max = 4096;

std::string list_of(const std::vector<std::string>& items) {
    std::string out;
    for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
    return "[" + out + "]";
}

std::string finding_json(const eventlog::Finding& finding) {
    return JsonObject{}
        .text("id", finding.id)
        .number("seq", finding.seq)
        .text("detail", finding.detail)
        .str();
}

std::string findings_json(const std::vector<eventlog::Finding>& findings) {
    std::vector<std::string> items;
    for (const eventlog::Finding& finding : findings) items.push_back(finding_json(finding));
    return list_of(items);
}

/// The finding that names the first event; the first of all if none names one.
std::string first_bad_json(const std::vector<eventlog::Finding>& findings) {
    if (findings.empty()) return "null";
    const eventlog::Seq first = eventlog::first_bad_seq(findings);
    for (const eventlog::Finding& finding : findings)
        if (finding.seq == first) return finding_json(finding);
    return finding_json(findings.front());
}

std::string covers_json(const std::vector<eventlog::AnchorCover>& covers) {
    std::vector<std::string> items;
    for (const eventlog::AnchorCover& cover : covers)
        items.push_back(JsonObject{}
                            .number("first_seq", cover.anchor.first_seq)
                            .number("last_seq", cover.anchor.last_seq)
                            .boolean("holds", cover.holds)
                            .text("from", cover.from)
                            .text("time", history::rfc3339(cover.anchor.wall_micros))
                            .text("digest", anchor_digest(cover.anchor).hex())
                            .str());
    return list_of(items);
}

std::string keys_json(const std::set<Hash>& keys) {
    std::vector<std::string> items;
    for (const Hash& key : keys) items.push_back(json_quoted(key.hex()));
    return list_of(items);
}

Result<Json> directory_document(const eventlog::AuditReport& report, const std::string& checked) {
    const eventlog::AnchorReport& anchors = report.anchors;
    const std::string head = JsonObject{}
                                 .number("seq", report.last_seq)
                                 .text("hash", report.head_hash.hex())
                                 .number("epoch", report.epoch)
                                 .text("lineage", uuid_text(report.lineage))
                                 .str();
    const std::string covered = JsonObject{}
                                    .number("count", anchors.covers.size())
                                    .number("covered_to", anchors.covered_to)
                                    .number("other_lineage", anchors.other_lineage)
                                    .raw("keys", keys_json(anchors.keys))
                                    .raw("covers", covers_json(anchors.covers))
                                    .str();
    return Json::parse(JsonObject{}
                           .boolean("ok", report.whole())
                           .text("checked", checked)
                           .number("events", report.events)
                           .number("streams", report.streams)
                           .raw("head", head)
                           .raw("first_bad", first_bad_json(report.findings))
                           .raw("findings", findings_json(report.findings))
                           .raw("anchors", covered)
                           .str());
}

/// A state directory holds the log, its anchors and their key; a log directory only itself.
Result<> add_own_anchors(const fs::path& state, eventlog::KnownAnchors& known) {
    const auto file = history::read_anchor_file(state / "anchors.jsonl");
    if (!file && file.error().code() != Errc::not_found) return file.error();
    if (file) known.sources.push_back({(state / "anchors.jsonl").native(), file->anchors});
    const auto pem = read_text(state / "anchor.pub", key_file_bytes_max);
    if (!known.trusted.empty() || !pem) return {};
    TRY(const PublicKey key, public_key_from_pem(*pem));
    known.trusted.insert(key_fingerprint(key));
    return {};
}

ExitCode verify_directory(Console& console, const Arguments& arguments) {
    auto known = known_anchors(arguments);
    if (!known) return console.fail(failure_of(known.error()));
    fs::path log = arguments.directory;
    std::error_code ignored;
    if (fs::is_directory(log / "log", ignored)) {
        if (const auto added = add_own_anchors(log, *known); !added)
            return console.fail(failure_of(added.error()));
        log /= "log";
    }
    const auto report = eventlog::verify_log_directory(log, *known);
    if (!report) return console.fail(failure_of(report.error()));
    const auto document = directory_document(*report, log.native());
    if (!document) return console.fail(failure_of(document.error()));
    return integrity(console, *document, render_audit);
}

/// Of a fingerprint, or of a file with the key.
Result<Hash> fingerprint_of(const std::string& given) {
    if (const auto fingerprint = Hash::from_hex_text(given)) return *fingerprint;
    const auto pem = read_text(given, key_file_bytes_max);
    const auto key = pem ? public_key_from_pem(*pem) : Result<PublicKey>(pem.error());
    if (key) return key_fingerprint(*key);
    return Error(
        Errc::invalid, "bad_key",
        "'" + printable(given, 200) + "' is neither the fingerprint nor the file of an anchor key",
        "nothing was changed", "give anchor.pub, or its fingerprint in hexadecimal");
}

/// Writes beside `path` and renames at the end, so that there is never half a file.
class PartFile {
  public:
    explicit PartFile(const fs::path& path)
        : path_(path),
          part_(path.native() + ".part"),
          fd_(::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {}

    ~PartFile() {
        if (!is_done_) ::unlink(part_.c_str());
    }

    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;

    Result<> write(std::string_view text) {
        if (!fd_.valid()) return errno_error(errno, "create", part_);
        return write_all(fd_.get(), as_bytes(text), part_);
    }

    Result<> finish() {
        if (::fsync(fd_.get()) != 0) return errno_error(errno, "fsync", part_);
        if (::rename(part_.c_str(), path_.c_str()) != 0) return errno_error(errno, "rename", part_);
        is_done_ = true;
        return {};
    }

  private:
    fs::path path_;
    std::string part_;
    Fd fd_;
    bool is_done_ = false;
};

}  // namespace

Result<eventlog::KnownAnchors> known_anchors(const Arguments& arguments) {
    eventlog::KnownAnchors known;
    for (const std::string& path : arguments.anchor_files) {
        TRY(auto file, history::read_anchor_file(path));
        known.sources.push_back({path, std::move(file.anchors)});
    }
    for (const std::string& given : arguments.keys) {
        TRY(const Hash fingerprint, fingerprint_of(given));
        known.trusted.insert(fingerprint);
    }
    return known;
}

Result<Json> export_document(const history::ExportReport& report, const std::string& checked) {
    JsonObject out;
    out.boolean("ok", report.whole()).text("checked", checked).number("events", report.events);
    if (report.header) {
        const history::ExportHeader& header = *report.header;
        if (header.job) out.text("job", header.job_name).text("job_id", uuid_text(*header.job));
        out.raw("head", JsonObject{}
                            .number("seq", header.head_seq)
                            .text("hash", header.head_hash.hex())
                            .text("lineage", uuid_text(header.lineage))
                            .str());
        out.text("made_at", history::rfc3339(header.wall_micros));
    }
    out.raw("first_bad", first_bad_json(report.findings));
    out.raw("findings", findings_json(report.findings));
    out.raw("anchors", JsonObject{}
                           .number("count", report.covers.size())
                           .number("confirmed", report.confirmed)
                           .number("younger", report.younger)
                           .raw("keys", keys_json(report.keys))
                           .raw("covers", covers_json(report.covers))
                           .str());
    return Json::parse(out.str());
}

ExitCode verify_export_file(Console& console, const Arguments& arguments,
                            const std::string& exported) {
    auto known = known_anchors(arguments);
    if (!known) return console.fail(failure_of(known.error()));
    const auto report = history::verify_export(exported, std::move(*known));
    if (!report) return console.fail(failure_of(report.error()));
    const auto document = export_document(*report, exported);
    if (!document) return console.fail(failure_of(document.error()));
    return integrity(console, *document, render_audit);
}

Result<> write_export(const Arguments& arguments, const std::string& exported) {
    PartFile out(arguments.out_file);
    if (arguments.export_format == "html") {
        std::vector<std::string> lines;
        TRY_VOID(history::read_export_lines(exported, [&](std::string_view line) -> Result<bool> {
            lines.emplace_back(line);
            return true;
        }));
        TRY(const std::string page, history::evidence_page(lines));
        TRY_VOID(out.write(page));
    } else if (arguments.export_format == "csv") {
        TRY_VOID(history::render_csv(
            exported, [&](std::string_view text) -> Result<> { return out.write(text); }));
    } else {
        TRY_VOID(history::read_export_lines(exported, [&](std::string_view line) -> Result<bool> {
            TRY_VOID(out.write(std::string(line) + "\n"));
            return true;
        }));
    }
    return out.finish();
}

bool is_offline_audit(const Arguments& arguments) {
    if (arguments.command == "audit export") return !arguments.export_file.empty();
    return arguments.command == "audit verify" &&
           !(arguments.directory.empty() && arguments.export_file.empty());
}

ExitCode offline_audit(Console& console, const Arguments& arguments) {
    if (!arguments.directory.empty()) return verify_directory(console, arguments);
    if (arguments.command == "audit verify")
        return verify_export_file(console, arguments, arguments.export_file);
    if (const auto written = write_export(arguments, arguments.export_file); !written)
        return console.fail(failure_of(written.error()));
    console.note("written to " + arguments.out_file);
    return ExitCode::ok;
}

}  // namespace drover::cli
