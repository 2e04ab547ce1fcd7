/// The evidence pack of one job: one page of HTML that needs nothing else to be read, and carries
/// the export that it was made from, so that `drover audit verify --export PACK` works on it. A
/// pure function of the export's lines: whoever has them can make the page again and compare.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace drover::history {

/// `lines` are those of an export of one job, without line ends. Text is escaped; nothing in the
/// page is a script or names another resource. Errors: invalid (not_a_job_export), corrupt.
[[nodiscard]] Result<std::string> evidence_page(const std::vector<std::string>& lines);

/// For text between tags and in quoted attributes. Bytes that are no printable text become U+FFFD.
[[nodiscard]] std::string html_text(std::string_view text);

}  // namespace drover::history
