#include "agent/agent_process.h"
#include "agent/commands.h"
#include "agent/control.h"
#include "base/log.h"

namespace drover::agent {
namespace {

/// Where no agent runs, reports only need to be in the journal: the next `run` sends them.
class NoOutput final : public ExecutorOutput {
  public:
    void taken(const EffectId&) override {}

    void report(const Report&) override {}

    void progress(const Progress&) override {}

    void failed(const Error& error) override { log::error("agent", error.text()); }
};

/// Asks the running agent, or does the same work here if none runs.
Result<> order(const std::filesystem::path& config, const std::string& line,
               const std::function<void(Executor&, Executor::Done)>& work) {
    TRY(Opened opened, open_config(config));
    auto answer = ask_agent(opened.paths, line);
    if (answer) return decode_outcome(*answer);
    if (answer.error().code() != Errc::not_found) return answer.error();
    TRY(const auto process, AgentProcess::open(std::move(opened)));
    InlineWorkers workers;
    NoOutput output;
    Executor executor(process->parts(), *process->replicas, *process->peers, workers,
                      process->random, output);
    Result<> outcome;
    work(executor, [&outcome](const Result<>& result) { outcome = result; });
    workers.run_all();
    return outcome;
}

Error bad_token() {
    return Error(Errc::invalid, "token_malformed", "a token has 32 hexadecimal digits",
                 "the fence stands", "drover-agent status shows the tokens");
}

}  // namespace

int release_command(const ReleaseArguments& arguments) {
    const std::string& job = arguments.job;
    if (arguments.confirm != job)
        return fail(Error(Errc::invalid, "confirmation_missing",
                          "--confirm must repeat the job's name: releasing a fence by hand is the "
                          "one way to make two writers",
                          "the fence stands",
                          "make sure that the target is stopped, then confirm"));
    FenceOrder wish{job, FenceToken::from_hex_text(arguments.token), local_user()};
    if (!wish.token && !arguments.token.empty()) return fail(bad_token());
    auto outcome = order(
        arguments.config, "release " + encode_order(wish),
        [&](Executor& executor, const Executor::Done& done) { executor.break_fence(wish, done); });
    if (!outcome) return fail_locally(outcome.error());
    say_done(arguments.format, {{"released", job}, {"by", wish.by}},
             "The fence of " + job +
                 " is broken; the source is in service.\n"
                 "Next: make sure that the target never starts for this job's users.");
    return exit_ok;
}

int fence_remove_command(const std::filesystem::path& config, const std::string& token,
                         const std::string& format) {
    const auto parsed = FenceToken::from_hex_text(token);
    if (!parsed) return fail(bad_token());
    auto outcome = order(config, "fence-remove " + parsed->hex(),
                         [&](Executor& executor, const Executor::Done& done) {
                             executor.remove_fence(*parsed, done);
                         });
    if (!outcome) return fail_locally(outcome.error());
    say_done(
        format, {{"removed", parsed->hex()}},
        "The fence is removed: the disks are writable and udev sees them again. drover mounted "
        "and started nothing.");
    return exit_ok;
}

}  // namespace drover::agent
