#include "history/anchor_file.h"

#include "base/assert.h"
#include "base/file.h"

namespace drover::history {

std::string anchor_line(const eventlog::Anchor& anchor) {
    std::string line = export_line(anchor);
    line.pop_back();
    DROVER_ASSERT(line.size() <= anchor_line_bytes_max);
    return line;
}

Result<AnchorFile> read_anchor_file(const std::filesystem::path& path) {
    TRY(const std::string text, read_text(path, anchor_file_bytes_max));
    AnchorFile file;
    std::string_view rest(text);
    for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        const auto line = parse_export_line(rest.substr(0, end));
        const auto* anchor = line ? std::get_if<eventlog::Anchor>(&*line) : nullptr;
        if (anchor == nullptr)
            return Error(Errc::corrupt, "anchor_file_damaged",
                         "line " + std::to_string(file.anchors.size() + 1) + " of " +
                             path.native() + " is no anchor",
                         "the file is left as it is", "take another copy of the anchors");
        file.anchors.push_back(*anchor);
        rest.remove_prefix(end + 1);
    }
    file.is_torn = !rest.empty();
    file.whole_bytes = text.size() - rest.size();
    return file;
}

}  // namespace drover::history
