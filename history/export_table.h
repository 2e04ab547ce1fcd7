/// An export as a table for people and spreadsheets. What stands in it is decoded from the records,
/// never from anything beside them.
#pragma once

#include "history/export.h"

#include <filesystem>
#include <functional>

#include <boost/json/object.hpp>

namespace drover::history {

/// An exported event as people read it: record_json(), and its stream. An event that this version
/// does not know is called by its number.
struct ExportedFact {
    eventlog::Record record;
    std::string name;          ///< "SourceFenced"
    boost::json::object data;  ///< empty for an unknown kind
};

/// Errors: corrupt.
[[nodiscard]] Result<ExportedFact> exported_fact(const ExportEvent& event);

/// Text members of the data that say why: reason, how, cause, acknowledged_loss, detail.
[[nodiscard]] std::string why_of(const ExportedFact& fact);

using TextSink = std::function<Result<>(std::string_view text)>;

/// RFC 4180, one line an event, the first line names the columns. A cell that a spreadsheet would
/// take for a formula begins with an apostrophe. Memory is bounded. Errors: those of the file and
/// of `sink`.
[[nodiscard]] Result<> render_csv(const std::filesystem::path& exported, const TextSink& sink);

}  // namespace drover::history
