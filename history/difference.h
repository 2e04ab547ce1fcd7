/// What differs between two documents, field by field. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/json/fwd.hpp>

namespace drover::history {

/// A value that is not in both, or not the same. Missing and null are the same nothing.
struct FieldChange {
    std::string path;                 ///< "disks[0].size_bytes"
    std::optional<std::string> from;  ///< as compact JSON; nullopt: nothing there
    std::optional<std::string> to;

    bool operator==(const FieldChange&) const = default;
};

/// In the order of the fields, those of `from` first. Empty lists and objects count as values.
[[nodiscard]] std::vector<FieldChange> changes(const boost::json::value& from,
                                               const boost::json::value& to);

/// As a list of {"field", "from", "to"}.
[[nodiscard]] boost::json::array changes_json(const std::vector<FieldChange>& changes);

}  // namespace drover::history
