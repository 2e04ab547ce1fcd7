#include "history/anchor_file.h"

#include "base/assert.h"
#include "base/file.h"

#include <algorithm>

namespace drover::history {

namespace {

struct Line {
    std::size_t begin = 0;
    std::optional<eventlog::Anchor> anchor;
};

std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> lines;
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', begin)) {
        const auto parsed = parse_export_line(text.substr(begin, end - begin));
        const auto* anchor = parsed ? std::get_if<eventlog::Anchor>(&*parsed) : nullptr;
        lines.push_back({begin, anchor ? std::optional(*anchor) : std::nullopt});
        begin = end + 1;
    }
    return lines;
}

/// What stands before line `end`, which begins at `whole_bytes`.
AnchorFile beginning(const std::vector<Line>& lines, std::size_t end, std::size_t whole_bytes,
                     std::size_t file_bytes) {
    AnchorFile file;
    for (std::size_t i = 0; i < end; ++i) file.anchors.push_back(*lines[i].anchor);
    file.whole_bytes = whole_bytes;
    file.is_torn = whole_bytes < file_bytes;
    return file;
}

AnchorFile whole(const std::vector<Line>& lines, std::string_view text) {
    return beginning(lines, lines.size(), text.rfind('\n') + 1, text.size());
}

Error damaged(const std::vector<Line>& lines, std::size_t at, const std::filesystem::path& path) {
    const std::string line = "line " + std::to_string(at + 1) + " of " + path.native();
    if (!lines[at].anchor)
        return Error(Errc::corrupt, "anchor_file_damaged", line + " is no anchor",
                     "the file is left as it is", "take another copy of the anchors");
    return Error(Errc::corrupt, "anchor_damaged", line + " is not what was signed",
                 "the file is left as it is", "take another copy of the anchors");
}

/// Whether everything from line `at` on can be of one append.
bool is_one_append(const std::vector<Line>& lines, std::size_t at) {
    if (lines.size() - at > anchors_per_append_max) return false;
    std::optional<WallMicros> made;
    for (; at < lines.size(); ++at) {
        if (!lines[at].anchor) continue;
        if (made && *made != lines[at].anchor->wall_micros) return false;
        made = lines[at].anchor->wall_micros;
    }
    return true;
}

}  // namespace

std::string anchor_line(const eventlog::Anchor& anchor) {
    std::string line = export_line(anchor);
    line.pop_back();
    DROVER_ASSERT(line.size() <= anchor_line_bytes_max);
    return line;
}

Result<AnchorFile> read_anchor_file(const std::filesystem::path& path) {
    TRY(const std::string text, read_text(path, anchor_file_bytes_max));
    const std::vector<Line> lines = lines_of(text);
    for (std::size_t i = 0; i < lines.size(); ++i)
        if (!lines[i].anchor) return damaged(lines, i, path);
    return whole(lines, text);
}

Result<AnchorFile> recover_anchor_file(const std::filesystem::path& path) {
    TRY(const std::string text, read_text(path, anchor_file_bytes_max));
    const std::vector<Line> lines = lines_of(text);
    // Signatures only where a crash can have been: who appends verifies the links between all.
    const std::size_t recent = lines.size() - std::min(lines.size(), anchors_per_append_max);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool is_whole = lines[i].anchor && (i < recent || check_anchor(*lines[i].anchor));
        if (is_whole) continue;
        if (!is_one_append(lines, i)) return damaged(lines, i, path);
        return beginning(lines, i, lines[i].begin, text.size());
    }
    return whole(lines, text);
}

}  // namespace drover::history
