/// The export of a log, or of one job of it: JSON lines that prove themselves, without database and
/// without schema. The format is in eventlog/format.md.
///
///   header ─► anchors ─► events, each with its path to its anchor ─► end, signed
///
/// Pure functions over single lines; export_file.h reads whole files.
#pragma once

#include "eventlog/anchor.h"
#include "schemas/model.h"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace drover::history {

constexpr std::uint32_t export_version = 1;

/// The first line. It is a claim; the end line signs it.
struct ExportHeader {
    std::uint32_t version = export_version;
    Uuid lineage;
    std::optional<JobId> job;  ///< nullopt: the whole log
    std::string job_name;      ///< empty: the whole log
    eventlog::Seq head_seq = 0;
    Hash head_hash;  ///< of event `head_seq`, which the last anchor covers too
    /// How far the exported stream had come: the job's, or the whole log.
    std::uint64_t events = 0;
    PublicKey key;  ///< whose anchors these are: compare its fingerprint with what you know
    std::string software;
    WallMicros wall_micros = 0;

    bool operator==(const ExportHeader&) const = default;
};

/// One event, and the hashes from it to the Merkle root of its anchor.
struct ExportEvent {
    Bytes stored;  ///< the event as it is stored, see eventlog::decode_record
    eventlog::Seq anchor_last_seq = 0;
    std::vector<Hash> path;

    bool operator==(const ExportEvent&) const = default;
};

/// The last line: nothing is missing at the end.
struct ExportEnd {
    std::uint64_t events = 0;
    Hash digest;  ///< SHA-256 of every line before this one, line ends included
    Signature signature;

    bool operator==(const ExportEnd&) const = default;
};

using ExportLine = std::variant<ExportHeader, eventlog::Anchor, ExportEvent, ExportEnd>;

/// An event of 512 KiB in base64, with everything around it.
constexpr std::size_t export_line_bytes_max = 1U << 20;

/// One line with its line end. Holds no '<', '>' or '&', so that it may stand in HTML as it is.
[[nodiscard]] std::string export_line(const ExportLine& line);

/// A line without its line end. Errors: corrupt (export_line_damaged), unsupported
/// (export_unsupported) for a later version.
[[nodiscard]] Result<ExportLine> parse_export_line(std::string_view line);

/// The bytes that the end line signs.
[[nodiscard]] Bytes export_end_message(const ExportEnd& end);

}  // namespace drover::history
