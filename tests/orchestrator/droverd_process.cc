#include "droverd_process.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::orchestrator::testing {

namespace {

constexpr SteadyMillis start_deadline_ms = 30'000;

std::string text_of_file(const std::filesystem::path& path) {
    const auto text = read_text(path);
    return text ? *text : std::string();
}

Exit wait_for(pid_t pid, const std::filesystem::path& output) {
    int status = 0;
    DROVER_ASSERT(waitpid(pid, &status, 0) == pid);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of_file(output)};
}

}  // namespace

DroverdProcess::DroverdProcess() {
    std::string name = (std::filesystem::temp_directory_path() / "droverd-test-XXXXXX").string();
    DROVER_ASSERT(mkdtemp(name.data()));
    directory_ = name;
    // Tests need no space set aside, and neither do the disks of those who run them.
    const char* config = "[log]\nballast_bytes = 0\nreserve_bytes = 0\n";
    DROVER_ASSERT(write_file_durably(directory_ / "config", as_bytes(config)).has_value());
}

DroverdProcess::~DroverdProcess() {
    if (pid_ > 0) stop(SIGKILL);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

pid_t DroverdProcess::spawn(const std::string& action, const std::filesystem::path& output) const {
    std::vector<std::string> arguments = {DROVERD_PATH, action, "--state",
                                          (directory_ / "state").string()};
    if (action == "init") {
        arguments.insert(arguments.end(), {"--host", "127.0.0.1"});
    } else {
        arguments.insert(arguments.end(),
                         {"--listen-http", "127.0.0.1:0", "--listen-agents", "127.0.0.1:0",
                          "--config", (directory_ / "config").string()});
    }
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    const int failed = posix_spawn(&pid, DROVERD_PATH, &actions, nullptr, raw.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    DROVER_ASSERT(failed == 0);
    return pid;
}

Exit DroverdProcess::init() {
    const auto output = directory_ / "init.out";
    Exit exit = wait_for(spawn("init", output), output);
    if (exit.code == 0) {
        token_ = text_of_file(directory_ / "state" / "api-token");
        while (!token_.empty() && token_.back() == '\n') token_.pop_back();
        authority_ = text_of_file(directory_ / "state" / "authority.crt");
    }
    return exit;
}

Exit DroverdProcess::run_another() {
    const auto output = directory_ / "another.out";
    return wait_for(spawn("run", output), output);
}

bool DroverdProcess::start() {
    pid_ = spawn("run", directory_ / "run.out");
    const SystemClock clock;
    const SteadyMillis deadline = clock.steady_ms() + start_deadline_ms;
    while (clock.steady_ms() < deadline) {
        int status = 0;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            return false;
        }
        if (read_ports()) {
            const auto ready = request("GET", "/readyz");
            if (ready && ready->status == 200) return true;
        }
        ::poll(nullptr, 0, 5);
    }
    return false;
}

bool DroverdProcess::read_ports() {
    const std::string text = output();
    const std::size_t at = text.find("droverd ready: ");
    if (at == std::string::npos || text.find('\n', at) == std::string::npos) return false;
    unsigned http = 0;
    unsigned agents = 0;
    if (std::sscanf(text.c_str() + at, "droverd ready: https %u, agents %u", &http, &agents) != 2) {
        return false;
    }
    http_port_ = static_cast<std::uint16_t>(http);
    agents_port_ = static_cast<std::uint16_t>(agents);
    return true;
}

Exit DroverdProcess::stop(int signal) {
    DROVER_ASSERT(pid_ > 0);
    kill(pid_, signal);
    const pid_t pid = std::exchange(pid_, -1);
    return wait_for(pid, directory_ / "run.out");
}

Result<wire::HttpResponse> DroverdProcess::request(const std::string& method,
                                                   const std::string& target,
                                                   const std::string& body,
                                                   wire::HttpHeaders headers) const {
    bool is_given = false;
    for (const auto& [name, value] : headers) is_given = is_given || name == "Authorization";
    if (!is_given) headers.emplace_back("Authorization", "Bearer " + token_);
    return wire::https_request(options(), method, target, headers, body);
}

Result<wire::HttpResponse> DroverdProcess::stream(const std::string& target,
                                                  const wire::OnChunk& on_chunk) const {
    return wire::https_stream(options(), target, {{"Authorization", "Bearer " + token_}}, on_chunk);
}

wire::HttpsOptions DroverdProcess::options() const {
    wire::HttpsOptions options;
    options.host = "127.0.0.1";
    options.port = http_port_;
    options.authority_pem = authority_;
    return options;
}

std::string DroverdProcess::output() const {
    return text_of_file(directory_ / "run.out");
}

}  // namespace drover::orchestrator::testing
