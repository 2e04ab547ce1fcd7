#include "agent/commands.h"
#include "agent/guard.h"
#include "base/bytes.h"
#include "base/exit_code.h"

#include <iostream>

#include <boost/json.hpp>

#include <pwd.h>
#include <unistd.h>

namespace drover::agent {
namespace {

void print(const Error& error) {
    std::cerr << "drover-agent: " << error.id() << ": " << error.detail() << "\n";
    if (!error.kept().empty()) std::cerr << "  kept: " << error.kept() << "\n";
    if (!error.next().empty()) std::cerr << "  next: " << error.next() << "\n";
}

}  // namespace

void say_done(const std::string& format,
              const std::vector<std::pair<std::string, std::string>>& fields,
              const std::string& text) {
    if (format != "json") {
        std::cout << text << "\n";
        return;
    }
    boost::json::object out;
    for (const auto& [name, value] : fields) out[name] = value;
    std::cout << boost::json::serialize(out) << "\n";
}

int fail(const Error& error) {
    print(error);
    return static_cast<int>(exit_code_of(error.code()));
}

int fail_locally(const Error& error) {
    print(error);
    const bool refused = error.code() == Errc::unavailable || error.code() == Errc::denied;
    return static_cast<int>(refused ? ExitCode::refused : exit_code_of(error.code()));
}

Result<Opened> open_config(const std::filesystem::path& file) {
    auto config = load_config(file);
    if (!config) {
        // Whatever is wrong with the file, the command line named the wrong one or it must be
        // edited.
        const Error& error = config.error();
        return Error(Errc::invalid, error.id(), error.detail(), "nothing was changed",
                     "correct the configuration file, or name another with --config");
    }
    Opened opened{std::move(*config), {}};
    opened.paths.root = opened.config.state;
    return opened;
}

std::string local_user() {
    const char* sudo = ::getenv("SUDO_USER");
    if (sudo != nullptr) return printable(sudo, 64);
    const passwd* user = ::getpwuid(::getuid());
    return user == nullptr ? std::to_string(::getuid()) : std::string(user->pw_name);
}

std::filesystem::path own_program() {
    std::error_code failed;
    auto path = std::filesystem::read_symlink("/proc/self/exe", failed);
    return failed ? std::filesystem::path("/proc/self/exe") : path;
}

int guard_command(const std::filesystem::path& directory, const std::string& name,
                  const std::vector<std::string>& disks) {
    return run_guard(directory, name, disks, STDOUT_FILENO);
}

}  // namespace drover::agent
