/// Facts as people and the API read them. Nothing is read back from it.
#pragma once

#include "history/state.h"

#include <string>
#include <string_view>
#include <vector>

#include <boost/json/fwd.hpp>
#include <boost/json/string_view.hpp>

namespace drover::history {

/// "SourceFenced", "AgentEnrolled".
[[nodiscard]] std::string_view name_of(const Fact& fact);

/// The fields of a fact.
[[nodiscard]] boost::json::object data_json(const Fact& fact);

/// One event of a history: place, author and what happened.
[[nodiscard]] boost::json::object record_json(const eventlog::Record& record, const Fact& fact);

/// The same for the stream of all events, in the form of `GET /v1/events`.
[[nodiscard]] boost::json::object feed_json(const State& state, const eventlog::Record& record,
                                            const Fact& fact);

[[nodiscard]] boost::json::array texts_json(const std::vector<std::string>& texts);
[[nodiscard]] boost::json::string_view to_json(std::string_view text);

}  // namespace drover::history
