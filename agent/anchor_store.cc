#include "agent/anchor_store.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <boost/json.hpp>

namespace drover::agent {
namespace {

namespace json = boost::json;

// One line: lineage, last seq and the anchor's own line, separated by blanks.
constexpr std::size_t file_bytes_max = 256U << 10;

Error damaged(const StatePaths& paths) {
    return Error(Errc::corrupt, "anchors_damaged", paths.anchors().native() + " is damaged",
                 "replication and fences; the server has the anchors too",
                 "move the file away: the next anchor begins a new one");
}

/// Which events an anchor is about, as the line itself says it.
struct Range {
    Uuid lineage;
    std::uint64_t first_seq = 0;
    std::uint64_t last_seq = 0;

    [[nodiscard]] bool overlaps(const Range& other) const {
        return lineage == other.lineage && first_seq <= other.last_seq &&
               other.first_seq <= last_seq;
    }
};

struct Kept {
    Range range;
    std::string line;
};

std::uint64_t number_in(const json::object& anchor, const char* name) {
    const json::value* value = anchor.if_contains(name);
    boost::system::error_code failed;
    const auto number = value ? value->to_number<std::uint64_t>(failed) : 0;
    return failed ? 0 : number;
}

std::optional<Range> range_in(std::string_view line) {
    boost::system::error_code failed;
    const json::value parsed = json::parse({line.data(), line.size()}, failed);
    const json::object* object = failed ? nullptr : parsed.if_object();
    const json::value* inner = object != nullptr ? object->if_contains("anchor") : nullptr;
    const json::object* anchor = inner != nullptr ? inner->if_object() : nullptr;
    if (anchor == nullptr) return std::nullopt;
    const json::value* lineage = anchor->if_contains("lineage");
    const json::string* text = lineage != nullptr ? lineage->if_string() : nullptr;
    const auto uuid = text ? uuid_from_text({text->data(), text->size()}) : std::optional<Uuid>();
    if (!uuid) return std::nullopt;
    const Range range{*uuid, number_in(*anchor, "first_seq"), number_in(*anchor, "last_seq")};
    const bool is_possible = range.first_seq >= 1 && range.first_seq <= range.last_seq;
    return is_possible ? std::optional(range) : std::nullopt;
}

Result<std::vector<Kept>> load(const StatePaths& paths) {
    auto text = read_text(paths.anchors(), file_bytes_max);
    if (!text && text.error().code() == Errc::not_found) return std::vector<Kept>{};
    if (!text) return text.error();
    std::vector<Kept> all;
    std::string_view rest(*text);
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        const std::string_view row = rest.substr(0, end);
        // The line says again, and for itself, what stands before it for people.
        const std::size_t first = row.find(' ');
        const std::size_t second = first == row.npos ? row.npos : row.find(' ', first + 1);
        if (end == rest.npos || second == row.npos) return damaged(paths);
        std::string line(row.substr(second + 1));
        const auto range = range_in(line);
        if (!range) return damaged(paths);
        all.push_back({*range, std::move(line)});
        rest.remove_prefix(end + 1);
    }
    return all;
}

/// Where the least is lost: the anchor between the two neighbours that are closest together. So
/// many anchors of a short stretch, which a rewritten log could make, push out each other. The
/// first and the newest stay.
std::size_t most_crowded(const std::vector<Kept>& all) {
    std::size_t found = 1;
    auto least = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 1; i + 1 < all.size(); ++i) {
        const Range& before = all[i - 1].range;
        const Range& after = all[i + 1].range;
        if (before.lineage != after.lineage || before.lineage != all[i].range.lineage) continue;
        const std::uint64_t span = after.last_seq - before.last_seq;
        if (span < least) found = i;
        least = std::min(least, span);
    }
    return found;
}

std::string text_of(const Range& range) {
    return "events " + std::to_string(range.first_seq) + " to " + std::to_string(range.last_seq);
}

}  // namespace

Result<bool> keep_anchor(const StatePaths& paths, const AnchorMade& made) {
    TRY(auto all, load(paths));
    const auto range = range_in(made.line);
    if (!range || range->lineage != made.lineage || range->last_seq != made.last_seq)
        return Error(Errc::invalid, "anchor_malformed",
                     "the server sent an anchor that is not what it is said to be",
                     "the anchors that are here", "install versions that belong together");
    bool is_newest = true;
    for (const Kept& kept : all) {
        if (kept.line == made.line) return false;
        if (kept.range.overlaps(*range))
            return Error(Errc::conflict, "anchor_contradicts",
                         "the server sent another anchor for " + text_of(*range) +
                             " than the one of " + text_of(kept.range) + " that is here",
                         "the anchors that are here",
                         "compare the server's log with them: drover-agent anchors, and drover "
                         "audit verify --anchors");
        if (kept.range.lineage == range->lineage && kept.range.last_seq > range->last_seq)
            is_newest = false;
    }
    if (!is_newest) return false;
    all.push_back({*range, made.line});
    if (all.size() > anchors_kept_max)
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(most_crowded(all)));
    std::string text;
    for (const Kept& kept : all)
        text += uuid_text(kept.range.lineage) + " " + std::to_string(kept.range.last_seq) + " " +
                kept.line + "\n";
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
