/// Files of anchors: one JSON line each, in the order in which they were made. The same form in the
/// server's state directory, at the second path and on the agents. Blocks.
#pragma once

#include "history/export.h"
#include "schemas/session.h"

#include <filesystem>

namespace drover::history {

/// The line of an anchor without its line end; printable ASCII, at most anchor_line_bytes_max.
[[nodiscard]] std::string anchor_line(const eventlog::Anchor& anchor);

constexpr std::size_t anchor_file_bytes_max = 1U << 30;

struct AnchorFile {
    std::vector<eventlog::Anchor> anchors;
    std::size_t whole_bytes = 0;  ///< of whole lines
    bool is_torn = false;         ///< a last line was cut short by a crash; it is not in `anchors`
};

/// Nothing is verified beyond the form of the lines. Errors: not_found, io, corrupt
/// (anchor_file_damaged).
[[nodiscard]] Result<AnchorFile> read_anchor_file(const std::filesystem::path& path);

}  // namespace drover::history
