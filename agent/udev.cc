#include "agent/udev.h"

#include "base/file.h"
#include "base/log.h"

#include <algorithm>
#include <cerrno>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr const char* udev_socket = "/run/udev/control";

std::filesystem::path rule_file(const std::string& kernel_name, const std::string& identity) {
    const std::string key = identity.empty() ? kernel_name : identity;
    return "/etc/udev/rules.d/61-drover-" + to_hex(as_bytes(key)) + ".rules";
}

bool udev_runs() {
    std::error_code failed;
    return std::filesystem::exists(udev_socket, failed);
}

/// A failure leaves udev with its old rules until its own next look at the directory, seconds
/// later.
void reload_rules() {
    char program[] = "udevadm";
    char verb[] = "control";
    char option[] = "--reload";
    char* const arguments[] = {program, verb, option, nullptr};
    pid_t pid = 0;
    int status = 0;
    if (::posix_spawnp(&pid, program, nullptr, nullptr, arguments, environ) == 0)
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (pid == 0 || status != 0) log::warn("udev", "udevadm control --reload failed");
}

}  // namespace

std::string udev_rule(const std::string& kernel_name, const std::string& identity) {
    // An empty ID_FS_TYPE keeps LVM and md from assembling, SYSTEMD_READY keeps systemd from
    // mounting.
    const std::string effect =
        "ENV{SYSTEMD_READY}=\"0\", ENV{UDISKS_IGNORE}=\"1\", ENV{ID_FS_TYPE}=\"\"\n";
    const bool plain = std::all_of(identity.begin(), identity.end(), [](char c) {
        return c != '"' && c != '\\' && c != '*' && c != '?' && c != '[' && c != '|';
    });
    const std::size_t colon = identity.find(':');
    const std::string kind = identity.substr(0, colon);
    std::string match = "KERNEL==\"" + kernel_name + "*\"";
    if (plain && (kind == "wwid" || kind == "serial"))
        match = "ATTRS{" + kind + "}==\"" + identity.substr(colon + 1) + "\"";
    return "# drover replicates onto this disk; removed when the target is activated.\n"
           "SUBSYSTEM==\"block\", " +
           match + ", " + effect;
}

Result<> add_udev_rule(const std::string& kernel_name, const std::string& identity) {
    if (!udev_runs()) return {};
    TRY_VOID(write_file_durably(rule_file(kernel_name, identity),
                                as_bytes(udev_rule(kernel_name, identity)), 0644));
    reload_rules();
    return {};
}

Result<> remove_udev_rule(const std::string& kernel_name, const std::string& identity) {
    const auto file = rule_file(kernel_name, identity);
    std::error_code failed;
    if (!std::filesystem::exists(file, failed)) return {};
    TRY_VOID(remove_file_durably(file));
    if (udev_runs()) reload_rules();
    return {};
}

}  // namespace drover::agent
