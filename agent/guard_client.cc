#include "agent/block_nodes.h"
#include "agent/guard.h"
#include "agent/local_socket.h"

#include <algorithm>
#include <cerrno>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

fs::path socket_of(const fs::path& directory, const GuardName& name) {
    return directory / (name.text() + ".sock");
}

Result<std::vector<std::string>> ids_of(const std::vector<std::string>& disks) {
    std::vector<std::string> ids;
    for (const std::string& disk : disks) {
        TRY(std::string id, guarded_id(disk));
        ids.push_back(std::move(id));
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

/// What a living guard says it holds; empty if there is none.
Result<std::vector<std::string>> ask_ids(const fs::path& socket) {
    std::vector<std::string> ids;
    auto answer = ask_local_socket(socket, "probe", guard_timeout_ms);
    if (!answer && answer.error().code() == Errc::not_found) return ids;
    if (!answer) return answer.error();
    std::istringstream lines(*answer);
    for (std::string line; std::getline(lines, line);) ids.push_back(line);
    std::sort(ids.begin(), ids.end());
    return ids;
}

/// The first line that the guard program says, within the time limit; empty if it said nothing.
std::string first_line(int fd) {
    std::string text;
    std::array<char, 4096> chunk{};
    for (;;) {
        pollfd waiting{fd, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(guard_timeout_ms));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return text;
        const ssize_t got = ::read(fd, chunk.data(), chunk.size());
        if (got <= 0) return text;
        text.append(chunk.data(), static_cast<std::size_t>(got));
        const std::size_t end = text.find('\n');
        if (end != std::string::npos) return text.substr(0, end);
    }
}

Error cannot_hold(const GuardName& name, std::string detail) {
    return Error(Errc::unavailable, "disk_busy", std::move(detail),
                 "nothing of " + name.text() + " is held", "stop what holds the disk, then retry");
}

}  // namespace

Result<std::string> guarded_id(const std::string& disk) {
    TRY(const DiskNodes nodes, find_nodes(disk));
    if (!nodes.is_block)
        return "file " + std::to_string(nodes.file_device) + " " + std::to_string(nodes.file_inode);
    const dev_t device = nodes.nodes.front().device;
    return "block " + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + " " +
           sysfs_text(device, "diskseq");
}

Result<bool> GuardClient::held(const GuardName& name, const std::vector<std::string>& disks) const {
    TRY(const auto wanted, ids_of(disks));
    TRY(const auto held, ask_ids(socket_of(directory_, name)));
    return held == wanted;
}

Result<> GuardClient::hold(const GuardName& name, const std::vector<std::string>& disks) const {
    TRY(const auto wanted, ids_of(disks));
    TRY(const auto held, ask_ids(socket_of(directory_, name)));
    if (held == wanted) return {};
    if (held.empty()) return start(name, disks);
    return cannot_hold(name, "the guard " + name.text() + " holds other disks than " +
                                 "those that are now at these paths");
}

Result<> GuardClient::end(const GuardName& name) const {
    auto answer = ask_local_socket(socket_of(directory_, name), "end", guard_timeout_ms);
    if (answer || answer.error().code() == Errc::not_found) return {};
    return answer.error();
}

Result<> GuardClient::start(const GuardName& name, const std::vector<std::string>& disks) const {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "pipe for", "the guard");
    const Fd reader(ends[0]);
    Fd writer(ends[1]);
    std::vector<std::string> words = {program_.native(),   "guard",  "--directory",
                                      directory_.native(), "--name", name.text()};
    for (const std::string& disk : disks) {
        words.emplace_back("--disk");
        words.push_back(disk);
    }
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, writer.get(), 1);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);  // as for hooks: it outlives the agent
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, program_.c_str(), &files, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0) return errno_error(failed, "start", program_.native());
    writer.reset();
    const std::string said = first_line(reader.get());
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (said == "held") return {};
    return cannot_hold(name, said.empty() ? "the guard process died at once" : said);
}

}  // namespace drover::agent
