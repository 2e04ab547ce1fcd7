/// What the audit commands share: what the command line says about anchors and keys, and reports as
/// documents. Needs no server.
#pragma once

#include "cli/arguments.h"
#include "cli/json.h"
#include "eventlog/anchor_check.h"
#include "history/export_check.h"

#include <optional>

namespace drover::cli {

/// The anchors of --anchors, and the key of --key. Errors: not_found, io, corrupt
/// (anchor_file_damaged), invalid (bad_key).
[[nodiscard]] Result<eventlog::KnownAnchors> known_anchors(const Arguments& arguments);

/// {"ok", "checked", "events", "head", "first_bad", "findings", "anchors"}
[[nodiscard]] Result<Json> export_document(const history::ExportReport& report,
                                           const std::string& checked);

}  // namespace drover::cli
