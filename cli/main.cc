/// The program `drover`: parts list, and the few commands that need no session.
#include "base/file.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/https_transport.h"
#include "cli/profile.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <iostream>

#include <unistd.h>

namespace drover::cli {
namespace {

constexpr std::size_t token_file_bytes_max = 4096;
constexpr std::size_t pin_digits = 64;

/// Sleeps; signals end the program, not the sleep.
class SystemWaiter final : public Waiter {
  public:
    void wait_ms(std::uint32_t ms) override {
        timespec left{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1'000'000L};
        while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
    }
};

/// Ctrl-C ends the looking on, never the job. Only calls that are safe in a signal handler.
void on_interrupt(int) {
    constexpr std::string_view text =
        "\ninterrupted; a running job goes on: drover job watch NAME\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    ::_exit(static_cast<int>(ExitCode::interrupted));
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread.
    return value == nullptr ? std::string{} : std::string(value);
}

Result<std::string> read_token(const std::string& path) {
    TRY(auto token, read_text(path, token_file_bytes_max));
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    if (token.empty() || token.find_first_of(" \t\r\n") != std::string::npos) {
        return Error{Errc::invalid, "bad_token_file", path + " does not hold one token",
                     "nothing was sent", "take the token file that droverd init wrote"};
    }
    return token;
}

Result<> login(const Arguments& arguments, const std::filesystem::path& profile_file) {
    TRY(const auto server, parse_server(arguments.server));
    if (arguments.ca_pin.size() != pin_digits || !from_hex(arguments.ca_pin)) {
        return Error{Errc::invalid, "bad_ca_pin", "the pin has to be 64 hexadecimal digits",
                     "nothing was sent", "take the pin that droverd init printed"};
    }
    TRY(const auto token, read_token(arguments.token_file));
    TRY(const auto authority, fetch_authority(server, arguments.ca_pin, token));
    return save_profile(profile_file, Profile{arguments.server, authority, token});
}

ExitCode run_signed_in(Console& console, Arguments arguments,
                       const std::filesystem::path& profile_file) {
    const auto profile = load_profile(profile_file);
    if (!profile) return console.fail(failure_of(profile.error()));
    const auto server = parse_server(profile->server);
    if (!server) return console.fail(failure_of(server.error()));
    HttpsTransport transport(*server, profile->authority_pem);
    SystemClock clock;
    SystemRandom random;
    SystemWaiter waiter;
    Client client({transport, clock, random, waiter},
                  {profile->token, arguments.retry_for_s, [&console](const Error& error) {
                       console.note("drover: " + error.detail() + "; trying again");
                   }});
    arguments.server = profile->server;
    return run_command({client, console}, arguments);
}

ExitCode run(const std::vector<std::string>& words) {
    const Parsed parsed = parse_command_line(words);
    if (parsed.done) {
        (parsed.exit == ExitCode::ok ? std::cout : std::cerr) << parsed.text << std::flush;
        return parsed.exit;
    }
    const Arguments& arguments = parsed.arguments;
    Console console(std::cout, std::cerr,
                    {arguments.format, arguments.quiet, ::isatty(STDERR_FILENO) == 1});
    if (arguments.command == "version") {
        const std::string version =
            JsonObject{}.text("name", "drover").text("version", DROVER_VERSION).str();
        const auto document = Json::parse(version);
        if (!document) return console.fail(failure_of(document.error()));
        console.document(*document, std::string("drover ") + DROVER_VERSION + "\n");
        return ExitCode::ok;
    }
    if (arguments.command == "replay run") return replay_run(console, arguments);
    if (is_offline_audit(arguments)) return offline_audit(console, arguments);
    const auto profile_file = profile_path(environment);
    if (!profile_file) return console.fail(failure_of(profile_file.error()));
    if (arguments.command != "login") return run_signed_in(console, arguments, *profile_file);
    if (const auto done = login(arguments, *profile_file); !done) {
        return console.fail(failure_of(done.error()));
    }
    console.note("signed in to " + arguments.server + "; profile " + profile_file->string());
    console.hint("drover agent list");
    return ExitCode::ok;
}

}  // namespace
}  // namespace drover::cli

int main(int argc, char** argv) {
    std::signal(SIGINT, drover::cli::on_interrupt);
    std::signal(SIGPIPE, SIG_IGN);
    return static_cast<int>(drover::cli::run(std::vector<std::string>(argv + 1, argv + argc)));
}
