/// Reads an export from a file line by line: JSON lines, or the evidence pack that carries them.
/// Memory is bounded by the longest line. Blocks.
#pragma once

#include "history/export.h"

#include <filesystem>
#include <functional>

namespace drover::history {

/// In an evidence pack the export stands between these two, each alone on its line.
constexpr std::string_view pack_export_begin = "<pre id=\"drover-export\">";
constexpr std::string_view pack_export_end = "</pre><!-- end of drover-export -->";

/// Whether `path` is an evidence pack and not plain lines. Errors: not_found, io.
[[nodiscard]] Result<bool> is_evidence_pack(const std::filesystem::path& path);

/// Called with each line without its line end; false stops the reading.
using TextLineVisitor = std::function<Result<bool>(std::string_view line)>;

/// The lines of the export in `path`, as they are. Errors: not_found, io, corrupt
/// (export_line_damaged: too long; export_missing: a page without an export).
[[nodiscard]] Result<> read_export_lines(const std::filesystem::path& path,
                                         const TextLineVisitor& visit);

/// Returns false to stop.
using ExportLineVisitor = std::function<Result<bool>(const ExportLine& line)>;

/// The same, parsed; nothing is verified beyond the form of each line.
[[nodiscard]] Result<> read_export(const std::filesystem::path& path,
                                   const ExportLineVisitor& visit);

}  // namespace drover::history
