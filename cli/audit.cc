// The audit commands that ask a server.
#include "base/bytes.h"
#include "base/fd.h"
#include "cli/audit_offline.h"
#include "cli/commands.h"
#include "cli/render.h"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

namespace drover::cli {
namespace {

/// A file that is gone at the end unless it was kept.
class Download {
  public:
    explicit Download(std::string path)
        : path_(std::move(path)),
          fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
        if (!fd_.valid()) failure_ = errno_error(errno, "create", path_);
    }

    ~Download() {
        if (fd_.valid()) ::unlink(path_.c_str());
    }

    Download(const Download&) = delete;
    Download& operator=(const Download&) = delete;

    bool take(std::string_view piece) {
        if (failure_) return false;
        if (const auto written = write_all(fd_.get(), as_bytes(piece), path_); !written)
            failure_ = written.error();
        return !failure_;
    }

    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
    Fd fd_;
    std::optional<Error> failure_;
};

/// With anchors or a key of ours, the server's word is not enough: its log comes here as an export
/// and is verified here.
ExitCode verify_here(const Session& session, const Arguments& arguments) {
    auto known = known_anchors(arguments);
    if (!known) return session.console.fail(failure_of(known.error()));
    history::ExportCheck check(std::move(*known), history::ExportUse::live);
    std::string rest;
    const auto failure = session.client.download("/v1/audit/export", [&](std::string_view piece) {
        rest += piece;
        std::size_t at = 0;
        for (std::size_t end = rest.find('\n'); end != std::string::npos;
             end = rest.find('\n', at)) {
            check.see(std::string_view(rest).substr(at, end - at));
            at = end + 1;
        }
        rest.erase(0, at);
        return rest.size() <= history::export_line_bytes_max;
    });
    if (failure) return session.console.fail(*failure);
    const auto document = export_document(check.finish(), arguments.server);
    if (!document) return session.console.fail(failure_of(document.error()));
    return integrity(session.console, *document, render_audit);
}

}  // namespace

ExitCode integrity(Console& console, const Json& answer, std::string (*render)(const Json&)) {
    console.document(answer, render(answer));
    if (answer["ok"].truth()) return ExitCode::ok;
    console.hint(
        "keep a copy of the log directory and of every anchor, and start nothing new; "
        "see docs/operations.md");
    return ExitCode::integrity;
}

ExitCode audit_verify(const Session& session, const Arguments& arguments) {
    if (!arguments.anchor_files.empty() || !arguments.keys.empty())
        return verify_here(session, arguments);
    const Reply reply = session.client.get("/v1/audit/verify");
    if (reply.failure) return session.console.fail(*reply.failure);
    return integrity(session.console, reply.body, render_audit);
}

ExitCode audit_anchor(const Session& session, const Arguments&) {
    const Reply reply = session.client.post({"/v1/audit/anchor", "", {}, {}});
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_anchor(reply.body));
    return ExitCode::ok;
}

ExitCode audit_export(const Session& session, const Arguments& arguments) {
    if (arguments.export_format == "html" && arguments.job_name.empty())
        return session.console.fail(failure_of(Error{Errc::invalid, "not_a_job_export",
                                                     "an evidence pack is made of one job",
                                                     "nothing was sent", "add --job NAME"}));
    std::string target = "/v1/audit/export";
    if (!arguments.job_name.empty()) {
        if (!valid_name(arguments.job_name) && !uuid_from_text(arguments.job_name))
            return session.console.fail(
                failure_of(Error{Errc::invalid, "bad_name",
                                 "'" + printable(arguments.job_name, 80) + "' is no name of a job",
                                 "nothing was sent", "correct the name"}));
        target += "?job=" + arguments.job_name;
    }
    Download received(arguments.out_file + ".received");
    if (received.failure()) return session.console.fail(failure_of(*received.failure()));
    const auto failure = session.client.download(
        target, [&](std::string_view piece) { return received.take(piece); });
    if (failure) return session.console.fail(*failure);
    if (received.failure()) return session.console.fail(failure_of(*received.failure()));
    // What came is proved before anybody relies on it; an answer that was cut off is noticed here.
    const auto report = history::verify_export(received.path(), {});
    if (!report) return session.console.fail(failure_of(report.error()));
    if (!report->whole()) {
        const eventlog::Finding& first = report->findings.front();
        return session.console.fail(failure_of(
            Error{Errc::corrupt, first.id, "what the server sent is not whole: " + first.detail,
                  "nothing was written", "run the command again; then drover audit verify"}));
    }
    if (const auto written = write_export(arguments, received.path()); !written)
        return session.console.fail(failure_of(written.error()));
    session.console.note("written to " + arguments.out_file + ": " +
                         std::to_string(report->events) + " events");
    if (arguments.export_format != "csv")
        session.console.hint("drover audit verify --export " + arguments.out_file);
    return ExitCode::ok;
}

}  // namespace drover::cli
