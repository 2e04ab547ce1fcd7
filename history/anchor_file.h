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
    bool is_torn = false;         ///< more follows that a crash left incomplete; not in `anchors`
};

/// Anchors that one write takes: what a crash of the machine can leave in pieces.
constexpr std::size_t anchors_per_append_max = 256;

/// Nothing is verified beyond the form of the lines. Errors: not_found, io, corrupt
/// (anchor_file_damaged).
[[nodiscard]] Result<AnchorFile> read_anchor_file(const std::filesystem::path& path);

/// The same for the one who appends to it. A power failure may leave the last append at its full
/// length with zeros among its sectors: from its first line that is damaged on it is left out, as
/// if torn. The last append is at most anchors_per_append_max lines with one time. Errors: as
/// above, and corrupt (anchor_damaged); either for damage that lies further ahead.
[[nodiscard]] Result<AnchorFile> recover_anchor_file(const std::filesystem::path& path);

}  // namespace drover::history
