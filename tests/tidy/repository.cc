#include "repository.h"

#include "base/file.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <set>

#include <sys/wait.h>

namespace drover::tidy {
namespace {

constexpr std::uintmax_t file_bytes_max = 1U << 20;

const std::set<std::string>& skipped_folders() {
    static const std::set<std::string> names{"build", ".git", ".cache", "node_modules", "corpus"};
    return names;
}

std::string quoted(const std::string& word) {
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

}  // namespace

std::vector<File> read_repository(const std::string& root) {
    namespace fs = std::filesystem;
    std::vector<File> out;
    std::error_code failed;
    for (auto it = fs::recursive_directory_iterator(root, failed);
         it != fs::recursive_directory_iterator(); it.increment(failed)) {
        if (it->is_directory(failed)) {
            if (skipped_folders().contains(it->path().filename())) it.disable_recursion_pending();
            continue;
        }
        if (!it->is_regular_file(failed) || it->file_size(failed) > file_bytes_max) continue;
        auto text = read_text(it->path());
        // A byte 0 is no text.
        if (!text || text->find('\0') != std::string::npos) continue;
        out.push_back({fs::relative(it->path(), root, failed).string(), std::move(*text)});
    }
    std::sort(out.begin(), out.end(), [](const File& a, const File& b) { return a.path < b.path; });
    return out;
}

Outcome run(const std::string& root, const std::vector<std::string>& arguments) {
    std::string line = "cd " + quoted(root) + " && exec";
    for (const std::string& argument : arguments) line += " " + quoted(argument);
    line += " 2>&1";
    Outcome outcome;
    std::FILE* pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return outcome;
    std::array<char, 4096> buffer{};
    for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
        outcome.output.append(buffer.data(), got);
    }
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

}  // namespace drover::tidy
