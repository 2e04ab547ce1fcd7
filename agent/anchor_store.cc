#include "agent/anchor_store.h"

#include <charconv>

namespace drover::agent {
namespace {

// One line: lineage, last seq and the anchor's own line, separated by blanks.
constexpr std::size_t file_bytes_max = 256U << 10;

Error damaged(const StatePaths& paths) {
    return Error(Errc::corrupt, "anchors_damaged", paths.anchors().native() + " is damaged",
                 "replication and fences; the server has the anchors too",
                 "move the file away: the next anchor begins a new one");
}

struct Kept {
    Uuid lineage;
    std::uint64_t last_seq = 0;
    std::string line;
};

Result<std::vector<Kept>> load(const StatePaths& paths) {
    auto text = read_text(paths.anchors(), file_bytes_max);
    if (!text && text.error().code() == Errc::not_found) return std::vector<Kept>{};
    if (!text) return text.error();
    std::vector<Kept> all;
    std::string_view rest(*text);
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        const std::string_view row = rest.substr(0, end);
        const std::size_t first = row.find(' ');
        const std::size_t second = first == row.npos ? row.npos : row.find(' ', first + 1);
        if (end == rest.npos || second == row.npos) return damaged(paths);
        const auto lineage = uuid_from_text(row.substr(0, first));
        const std::string_view number = row.substr(first + 1, second - first - 1);
        Kept kept;
        const auto [stop, failed] =
            std::from_chars(number.data(), number.data() + number.size(), kept.last_seq);
        if (!lineage || failed != std::errc() || stop != number.data() + number.size())
            return damaged(paths);
        kept.lineage = *lineage;
        kept.line = std::string(row.substr(second + 1));
        all.push_back(std::move(kept));
        rest.remove_prefix(end + 1);
    }
    return all;
}

}  // namespace

Result<bool> keep_anchor(const StatePaths& paths, const AnchorMade& made) {
    TRY(auto all, load(paths));
    for (const Kept& kept : all)
        if (kept.lineage == made.lineage && kept.last_seq >= made.last_seq) return false;
    all.push_back({made.lineage, made.last_seq, made.line});
    if (all.size() > anchors_kept_max) all.erase(all.begin());
    std::string text;
    for (const Kept& kept : all)
        text +=
            uuid_text(kept.lineage) + " " + std::to_string(kept.last_seq) + " " + kept.line + "\n";
    TRY_VOID(write_file_durably(paths.anchors(), as_bytes(text)));
    return true;
}

Result<std::vector<std::string>> load_anchors(const StatePaths& paths) {
    TRY(auto all, load(paths));
    std::vector<std::string> lines;
    for (Kept& kept : all) lines.push_back(std::move(kept.line));
    return lines;
}

}  // namespace drover::agent
