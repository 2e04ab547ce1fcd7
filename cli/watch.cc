#include "cli/commands.h"
#include "cli/render.h"
#include "cli/units.h"

#include <algorithm>
#include <array>

namespace drover::cli {
namespace {

constexpr std::uint32_t poll_ms = 250;
constexpr std::uint64_t preflight_timeout_s = 120;

/// Which fact enters which phase (the table of docs/state-machine.md). A phase can be passed
/// between two rounds; it was reached all the same.
struct Entry {
    std::string_view fact;
    std::string_view phase;
};

constexpr std::array<Entry, 27> entries{{{"JobPlanned", "planned"},
                                         {"PreflightFailed", "blocked"},
                                         {"PreflightPassed", "ready"},
                                         {"MirrorStarted", "mirroring"},
                                         {"MirrorCompleted", "syncing"},
                                         {"TestStarted", "testing"},
                                         {"TestReverted", "syncing"},
                                         {"CutoverArmed", "armed"},
                                         {"Disarmed", "syncing"},
                                         {"CutoverStarted", "fencing"},
                                         {"FenceRefused", "armed"},
                                         {"SourceFenced", "draining"},
                                         {"DeltaDrained", "verifying"},
                                         {"MismatchFound", "draining"},
                                         {"TargetVerified", "activating"},
                                         {"TargetActivated", "validating"},
                                         {"TargetValidated", "holding"},
                                         {"ValidationWaived", "holding"},
                                         {"Committed", "committed"},
                                         {"RollbackStarted", "rolling_back"},
                                         {"TargetFenced", "reverse_draining"},
                                         {"ReverseDrained", "reverse_verifying"},
                                         {"ReverseVerified", "rolling_back"},
                                         {"ReverseAbandoned", "rolling_back"},
                                         {"SourceReleased", "rolled_back"},
                                         {"ResyncStarted", "syncing"},
                                         {"Cancelled", "cancelled"}}};

bool is_final(std::string_view phase) {
    return phase == "committed" || phase == "cancelled";
}

bool preflight_outstanding(const Json& why) {
    const auto work = why["outstanding"].items();
    return std::any_of(work.begin(), work.end(),
                       [](const Json& effect) { return effect["kind"].text() == "preflight"; });
}

/// Follows one job: each round asks for its state, prints the facts that are new, and says whether
/// the wait is over.
class Watcher {
  public:
    Watcher(const Session& session, const Arguments& arguments)
        : session_(session),
          arguments_(arguments),
          path_("/v1/jobs/" + arguments.name) {}

    ExitCode run() {
        const auto& parts = session_.client.parts();
        const SteadyMillis begin = parts.clock.steady_ms();
        for (;;) {
            const Reply reply = session_.client.get(path_);
            if (reply.failure) return session_.console.fail(*reply.failure);
            if (const auto failed = print_new_facts(reply.body))
                return session_.console.fail(*failed);
            if (const auto done = verdict(reply.body)) return *done;
            session_.console.progress(arguments_.name + "  " + reply.body["phase"].text() + "  " +
                                      reply.body["data_state"].text() + "  " +
                                      render_progress(reply.body));
            const auto waited_ms = parts.clock.steady_ms() - begin;
            if (arguments_.timeout_s &&
                waited_ms >= static_cast<SteadyMillis>(*arguments_.timeout_s) * 1000) {
                return timed_out(reply.body);
            }
            parts.waiter.wait_ms(poll_ms);
        }
    }

  private:
    /// The facts since the last round, oldest first; in the first round only where the job stands.
    /// A job's version is the position of its last fact in its history.
    std::optional<Failure> print_new_facts(const Json& job) {
        if (first_) {
            first_ = false;
            seen_ = job["version"].number();
            session_.console.note(arguments_.name + "  " + job["phase"].text() + "  " +
                                  job["data_state"].text());
            return std::nullopt;
        }
        while (seen_ < job["version"].number()) {
            const Reply history =
                session_.client.get(path_ + "/history?from=" + std::to_string(seen_ + 1));
            if (history.failure) return history.failure;
            const auto facts = history.body["items"].items();
            if (facts.empty()) break;
            for (const Json& fact : facts) {
                seen_ = std::max(seen_, fact["stream_seq"].number());
                passed_ = passed_ || enters_phase(fact["event"].text(), arguments_.until);
                session_.console.item(fact, render_fact(fact));
            }
        }
        return std::nullopt;
    }

    /// The exit code once the wait is over.
    std::optional<ExitCode> verdict(const Json& job) {
        const std::string phase = job["phase"].text();
        const std::string& until = arguments_.until;
        const bool reached = until == "in_sync" ? job["data_state"].text() == until
                             : until.empty()    ? is_final(phase)
                                                : phase == until || passed_;
        if (reached) {
            session_.console.note(arguments_.name + " is " + phase +
                                  (passed_ && phase != until ? ", has been " + until : ""));
            session_.console.hint(next_step(job));
            return ExitCode::ok;
        }
        if (is_final(phase)) {
            session_.console.note(arguments_.name + " ended as " + phase + ", not as " + until);
            return ExitCode::ended_otherwise;
        }
        tell_parked(job["parked"]);
        return phase == "blocked" ? blocked_verdict(job) : std::nullopt;
    }

    /// Nobody moves a blocked job but a person, unless a preflight is under way.
    std::optional<ExitCode> blocked_verdict(const Json& job) {
        const Reply why = session_.client.get(path_ + "/why");
        if (why.failure) return session_.console.fail(*why.failure);
        if (preflight_outstanding(why.body)) return std::nullopt;
        session_.console.note(arguments_.name + " is blocked by its preflight");
        for (const std::string& line : finding_lines(job)) session_.console.note(line);
        session_.console.hint("drover job preflight " + arguments_.name);
        return ExitCode::preflight_critical;
    }

    /// Once for each time that the job parks: it may go on after a person acted elsewhere.
    void tell_parked(const Json& parked) {
        const std::string key = parked["id"].text() + parked["since"].text();
        if (key == parked_told_) return;
        parked_told_ = key;
        if (parked.is_null()) return;
        session_.console.note(arguments_.name + " is parked: " + parked["id"].text() + ": " +
                              parked["detail"].text());
        if (const std::string kept = parked["kept"].text(); !kept.empty()) {
            session_.console.note("  kept: " + kept);
        }
        session_.console.hint(parked["next"].text());
    }

    ExitCode timed_out(const Json& job) {
        session_.console.note("not reached within " + duration_text(*arguments_.timeout_s) + ": " +
                              arguments_.name + " is " + job["phase"].text() + ", " +
                              job["data_state"].text() + "; the job goes on");
        session_.console.hint("drover job why " + arguments_.name);
        return ExitCode::timeout;
    }

    const Session& session_;
    const Arguments& arguments_;
    std::string path_;
    bool first_ = true;
    std::uint64_t seen_ = 0;
    std::string parked_told_;
    bool passed_ =
        false;  ///< the awaited phase was entered, and perhaps left, since the first round
};

}  // namespace

bool enters_phase(std::string_view fact, std::string_view phase) {
    return std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) {
        return entry.fact == fact && entry.phase == phase;
    });
}

ExitCode watch_job(const Session& session, const Arguments& arguments) {
    return Watcher(session, arguments).run();
}

ExitCode await_preflight(const Session& session, const Arguments& arguments) {
    const auto& parts = session.client.parts();
    const std::string path = "/v1/jobs/" + arguments.name;
    const SteadyMillis begin = parts.clock.steady_ms();
    const auto timeout_s = arguments.timeout_s.value_or(preflight_timeout_s);
    for (;;) {
        const Reply why = session.client.get(path + "/why");
        if (why.failure) return session.console.fail(*why.failure);
        if (!preflight_outstanding(why.body)) break;
        if (parts.clock.steady_ms() - begin >= static_cast<SteadyMillis>(timeout_s) * 1000) {
            session.console.note("no verdict within " + duration_text(timeout_s) + "; it goes on");
            session.console.hint("drover job why " + arguments.name);
            return ExitCode::timeout;
        }
        parts.waiter.wait_ms(poll_ms);
    }
    const Reply job = session.client.get(path);
    if (job.failure) return session.console.fail(*job.failure);
    session.console.document(job.body, render_job(job.body));
    if (job.body["phase"].text() == "blocked") return ExitCode::preflight_critical;
    session.console.hint(next_step(job.body));
    return ExitCode::ok;
}

}  // namespace drover::cli
