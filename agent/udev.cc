#include "agent/udev.h"

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"

#include <cerrno>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr const char* udev_socket = "/run/udev/control";
constexpr const char* lasting_rules = "/etc/udev/rules.d";
constexpr const char* rules_of_this_boot = "/run/udev/rules.d";
constexpr std::size_t rule_bytes_max = 4096;
constexpr std::size_t plain_key_bytes_max = 100;

bool udev_runs() {
    std::error_code failed;
    return std::filesystem::exists(udev_socket, failed);
}

bool is_stable(const std::string& identity) {
    return identity.starts_with("wwid:") || identity.starts_with("serial:");
}

/// A failure leaves udev with its old rules until its own next look at the directory, seconds
/// later.
void reload_rules() {
    char program[] = "udevadm";
    char verb[] = "control";
    char option[] = "--reload";
    char limit[] = "--timeout=5";
    char* const arguments[] = {program, verb, option, limit, nullptr};
    pid_t pid = 0;
    int status = 0;
    if (::posix_spawnp(&pid, program, nullptr, nullptr, arguments, environ) == 0)
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (pid == 0 || status != 0) log::warn("udev", "udevadm control --reload failed");
}

/// A device that nobody closed after writing has no event of its own: systemd would go on holding
/// it for not ready, and a mount unit would wait for it.
void announce(const std::string& kernel_name) {
    const std::string file = "/sys/class/block/" + kernel_name + "/uevent";
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    auto announced = fd.valid() ? write_all(fd.get(), as_bytes("change"), file)
                                : Result<>(errno_error(errno, "open", file));
    if (!announced) log::warn("udev", announced.error().text());
}

/// "sdb" and "sdb1", "nvme0n1" and "nvme0n1p1": neither sdba nor nvme0n10.
std::string kernel_match(const std::string& disk) {
    const bool ends_in_digit = !disk.empty() && disk.back() >= '0' && disk.back() <= '9';
    return "KERNEL==\"" + disk + "|" + disk + (ends_in_digit ? "p" : "") + "[0-9]*\"";
}

/// In a match these mean something to udev; there a question mark stands for any one character.
std::string matching(std::string value) {
    for (char& c : value)
        if (std::string_view("\"\\*[]|").find(c) != std::string_view::npos) c = '?';
    return value;
}

}  // namespace

std::filesystem::path udev_rule_file(const UdevDisk& disk) {
    const bool lasts = is_stable(disk.identity);
    const std::string& key = lasts ? disk.identity : disk.kernel_names.front();
    // The wwid of an NVMe disk may be longer than a file name in hexadecimal.
    const std::string name =
        key.size() <= plain_key_bytes_max ? to_hex(as_bytes(key)) : sha256(as_bytes(key)).hex();
    // 61: after 60-persistent-storage.rules has looked what is on the disk and made its links,
    // before the rules of btrfs and md (64) and LVM (69), and before 99-systemd.rules.
    return std::filesystem::path(lasts ? lasting_rules : rules_of_this_boot) /
           ("61-drover-" + name + ".rules");
}

std::string udev_rule(const UdevDisk& disk) {
    std::string match = kernel_match(disk.kernel_names.front());
    if (is_stable(disk.identity)) {
        const std::size_t colon = disk.identity.find(':');
        match = "ATTRS{" + disk.identity.substr(0, colon) + "}==\"" +
                matching(disk.identity.substr(colon + 1)) + "\"";
    }
    // An empty ID_FS_TYPE keeps LVM and md from assembling, SYSTEMD_READY keeps systemd from
    // mounting.
    return "# The target of a copy, or the fenced source of one: drover-agent removes this rule "
           "when\n"
           "# the disk goes back to its users.\n"
           "SUBSYSTEM==\"block\", " +
           match + ", ENV{SYSTEMD_READY}=\"0\", ENV{UDISKS_IGNORE}=\"1\", ENV{ID_FS_TYPE}=\"\"\n";
}

Result<> add_udev_rule(const UdevDisk& disk) {
    if (!udev_runs()) return {};
    const std::filesystem::path file = udev_rule_file(disk);
    const std::string rule = udev_rule(disk);
    const auto present = read_text(file, rule_bytes_max);
    if (present && *present == rule) return {};
    std::error_code failed;
    std::filesystem::create_directories(file.parent_path(), failed);
    if (failed) return errno_error(failed.value(), "make", file.parent_path().native());
    TRY_VOID(write_file_durably(file, as_bytes(rule), 0644));
    reload_rules();
    return {};
}

Result<> remove_udev_rule(const UdevDisk& disk) {
    TRY_VOID(remove_file_durably(udev_rule_file(disk)));
    if (!udev_runs()) return {};
    reload_rules();
    for (const std::string& name : disk.kernel_names) announce(name);
    return {};
}

}  // namespace drover::agent
