#include "checks.h"

#include "base/assert.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>

namespace drover::tidy {
namespace {

/// Who may include whom; the picture is in ARCHITECTURE.md.
const std::map<std::string_view, std::set<std::string_view>>& allowed_edges() {
    static const std::map<std::string_view, std::set<std::string_view>> edges{
        {"base", {}},
        {"schemas", {"base"}},
        {"eventlog", {"base"}},
        {"statemachine", {"base", "schemas"}},
        {"wire", {"base", "schemas"}},
        {"replicator", {"base", "schemas", "wire"}},
        {"agent", {"base", "schemas", "wire", "replicator"}},
        {"history", {"base", "schemas", "eventlog", "statemachine"}},
        {"orchestrator", {"base", "schemas", "eventlog", "statemachine", "history", "wire"}},
        {"cli", {"base", "wire", "eventlog", "history"}}};
    return edges;
}

struct Fence {
    std::string_view header;                   ///< prefix of what stands between < and >
    std::vector<std::string_view> allowed_in;  ///< prefixes of paths
};

const std::vector<Fence>& fences() {
    static const std::vector<Fence> table{
        {"rocksdb/", {"eventlog/rocksdb"}},
        {"boost/msm/", {"statemachine/transitions.cc"}},
        {"boost/mpl/", {"statemachine/transitions.cc"}},
        {"boost/beast/", {"wire/https", "orchestrator/http_server.cc"}},
        {"spdlog/", {"base/log.cc"}},
        {"bpf/", {"replicator/ebpf", "replicator/kernel_tracker.cc", "replicator/bpf/"}},
        {"CLI/", {"cli/command_line.cc", "agent/", "orchestrator/"}},
        {"toml++/", {"agent/config", "orchestrator/config"}},
        {"boost/json/src.hpp", {}}};
    return table;
}

/// Headers that are slow to compile and therefore never stand in one of our headers.
constexpr std::array<std::string_view, 6> heavy_headers{"boost/beast/", "boost/msm/", "rocksdb/",
                                                        "spdlog/",      "CLI/",       "toml++/"};

struct Word {
    std::string_view word;
    std::string_view instead;
    std::vector<std::string_view> allowed_in;  ///< prefixes of paths
    bool in_tests = true;                      ///< forbidden in tests as well
};

const std::vector<Word>& banned_words() {
    // Split in two, so that this file does not contain them.
    static const std::vector<Word> table{
        {"system_clock::"
         "now",
         "take a Clock",
         {"base/clock.cc"},
         true},
        {"random_"
         "device",
         "take a Random",
         {"base/random.cc"},
         true},
        {"sleep_"
         "for",
         "poll a condition with a deadline",
         // Hosts and devices that give no event to wait for.
         {"agent/host_linux.cc", "agent/hooks.cc", "agent/mounts.cc", "replicator/ebpf_tracker.cc",
          "replicator/source_replica.cc"},
         false},
        {"TO"
         "DO",
         "do it, or say in the documentation what is not there",
         {},
         true},
        {"FIX"
         "ME",
         "fix it",
         {},
         true},
        {"XX"
         "X:",
         "say what is meant",
         {},
         true}};
    return table;
}

/// Where the order of an iteration could reach an event, containers are ordered.
constexpr std::array<std::string_view, 2> ordered_folders{"statemachine/", "eventlog/"};

bool starts_with_any(std::string_view path, const std::vector<std::string_view>& prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [path](std::string_view prefix) { return path.starts_with(prefix); });
}

bool is_source(std::string_view path) {
    return path.ends_with(".h") || path.ends_with(".cc") || path.ends_with(".c");
}

std::string_view folder_of(std::string_view path) {
    return path.substr(0, path.find('/'));
}

void for_each_line(const std::string& text,
                   const std::function<void(std::size_t, std::string_view)>& visit) {
    std::string_view rest = text;
    for (std::size_t number = 1; !rest.empty(); ++number) {
        const auto end = rest.find('\n');
        visit(number, rest.substr(0, end));
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
}

std::string at(const File& file, std::size_t line, const std::string& what) {
    return file.path + ":" + std::to_string(line) + ": " + what;
}

/// What an #include line names, or "" for any other line. `open` is '<' or '"'.
std::string_view included(std::string_view line, char open, char close) {
    const auto hash = line.find_first_not_of(' ');
    if (hash == std::string_view::npos || line[hash] != '#') return {};
    const auto word = line.find("include");
    const auto begin = line.find(open);
    if (word == std::string_view::npos || begin == std::string_view::npos || begin < word)
        return {};
    const auto end = line.find(close, begin + 1);
    if (end == std::string_view::npos) return {};
    return line.substr(begin + 1, end - begin - 1);
}

/// Code points, so that an arrow counts as one column.
std::size_t width_of(std::string_view line) {
    return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
}

/// A comment, or a line of a text literal: clang-format does not break it.
bool is_text_line(std::string_view line) {
    const auto begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) return false;
    const auto text = line.substr(begin);
    return text.starts_with("//") || text.find("///<") != std::string_view::npos ||
           text.starts_with('"') || text.starts_with("{\"") ||
           text.find("R\"(") != std::string_view::npos;
}

}  // namespace

bool is_product(std::string_view path) {
    return allowed_edges().contains(folder_of(path));
}

Findings check_direction(const File& file) {
    Findings out;
    if (!is_source(file.path) || !is_product(file.path)) return out;
    const auto own = folder_of(file.path);
    const auto& allowed = allowed_edges().at(own);
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
        const auto header = included(line, '"', '"');
        if (header.empty()) return;
        const auto folder = folder_of(header);
        if (folder == header) {
            // The BPF program is compiled alone, by another compiler; its skeleton is generated.
            if (!file.path.starts_with("replicator/bpf/") && !header.ends_with(".skel.h")) {
                out.push_back(
                    at(file, number, "\"" + std::string(header) + "\" does not name its folder"));
            }
        } else if (folder != own && !allowed.contains(folder)) {
            out.push_back(
                at(file, number, std::string(own) + " must not include " + std::string(folder)));
        }
    });
    return out;
}

Findings check_fences(const File& file) {
    Findings out;
    if (!is_source(file.path) || !is_product(file.path)) return out;
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
        const auto header = included(line, '<', '>');
        if (header.empty()) return;
        for (const Fence& fence : fences()) {
            if (header.starts_with(fence.header) && !starts_with_any(file.path, fence.allowed_in)) {
                out.push_back(
                    at(file, number, "<" + std::string(header) + "> is fenced in elsewhere"));
            }
        }
        for (const auto heavy : heavy_headers) {
            if (file.path.ends_with(".h") && header.starts_with(heavy)) {
                out.push_back(
                    at(file, number, "<" + std::string(header) + "> belongs into a .cc file"));
            }
        }
    });
    return out;
}

Findings check_words(const File& file) {
    Findings out;
    if (!is_source(file.path)) return out;
    const bool ordered = std::any_of(ordered_folders.begin(), ordered_folders.end(),
                                     [&](auto folder) { return file.path.starts_with(folder); });
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
        for (const Word& banned : banned_words()) {
            if (line.find(banned.word) == std::string_view::npos) continue;
            if (starts_with_any(file.path, banned.allowed_in)) continue;
            if (!is_product(file.path) && !banned.in_tests) continue;
            out.push_back(
                at(file, number, std::string(banned.word) + ": " + std::string(banned.instead)));
        }
        if (ordered && line.find("std::unordered_") != std::string_view::npos) {
            out.push_back(at(file, number, "an unordered container: its order can reach an event"));
        }
    });
    return out;
}

Findings check_shape(const File& file) {
    Findings out;
    if (!is_source(file.path)) return out;
    std::size_t lines = 0;
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
        lines = number;
        const auto limit = is_text_line(line) ? text_columns_max : columns_max;
        if (width_of(line) > limit) {
            out.push_back(at(file, number, std::to_string(width_of(line)) + " columns"));
        }
        if (line.find('\t') != std::string_view::npos) out.push_back(at(file, number, "a tab"));
        if (line.ends_with(' ')) out.push_back(at(file, number, "a blank at the end"));
    });
    if (lines > lines_max) out.push_back(at(file, lines, "the file is longer than 500 lines"));
    if (!file.text.empty() && file.text.back() != '\n') {
        out.push_back(at(file, lines, "no newline at the end"));
    }
    return out;
}

Findings check_paths(const File& file) {
    // Split in two, so that this file does not contain them.
    static const std::array<std::string, 4> foreign{
        std::string("/wo") + "rk/", std::string("/ho") + "me/", std::string("/Us") + "ers/",
        std::string("/tmp/") + "bash"};
    Findings out;
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
        for (const std::string& path : foreign) {
            for (auto found = line.find(path); found != std::string_view::npos;
                 found = line.find(path, found + 1)) {
                // Part of a longer path, like src/home/: not absolute.
                const char before = found == 0 ? ' ' : line[found - 1];
                const bool inside = std::isalnum(static_cast<unsigned char>(before)) != 0 ||
                                    std::string_view("._-}").find(before) != std::string_view::npos;
                if (!inside) out.push_back(at(file, number, "a path of one machine: " + path));
            }
        }
    });
    return out;
}

Findings check_built(const std::vector<File>& files) {
    std::map<std::string, std::string> lists;  // by folder
    for (const File& file : files) {
        const bool is_module = file.path.ends_with(".cmake");
        if (!is_module && !file.path.ends_with("CMakeLists.txt")) continue;
        const std::string folder = file.path.substr(0, file.path.find_last_of('/'));
        lists[folder] += file.text;
        // A module works for whoever includes it: the folder that it belongs to.
        if (is_module) lists[std::string(folder_of(file.path))] += file.text;
    }
    Findings out;
    for (const File& file : files) {
        if (!file.path.ends_with(".cc") && !file.path.ends_with(".c")) continue;
        bool built = false;
        auto slash = file.path.rfind('/');
        while (!built && slash != std::string::npos) {
            const auto list = lists.find(file.path.substr(0, slash));
            const std::string name = file.path.substr(slash + 1);
            built = list != lists.end() && list->second.find(name) != std::string::npos;
            slash = slash == 0 ? std::string::npos : file.path.rfind('/', slash - 1);
        }
        if (!built) out.push_back(file.path + ":1: named in no CMakeLists.txt");
    }
    return out;
}

Findings check_documented(std::string_view ids, const std::string& document) {
    std::set<std::string, std::less<>> unexplained;
    while (!ids.empty()) {
        const auto end = ids.find('\n');
        if (end != 0) unexplained.emplace(ids.substr(0, end));
        ids.remove_prefix(end == std::string_view::npos ? ids.size() : end + 1);
    }
    Findings out;
    for_each_line(document, [&](std::size_t number, std::string_view line) {
        if (!line.starts_with("| `")) return;
        const std::string id(line.substr(3, line.find('`', 3) - 3));
        // With capitals it is a pattern, like disk_ACTION_failed.
        const bool is_pattern =
            std::any_of(id.begin(), id.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
        if (unexplained.erase(id) == 0 && !is_pattern) {
            out.push_back("docs/errors.md:" + std::to_string(number) +
                          ": twice, or not in the code: " + id);
        }
    });
    for (const std::string& id : unexplained)
        out.push_back("docs/errors.md:1: does not explain " + id);
    return out;
}

}  // namespace drover::tidy
