/// What the handlers of the API share. Private to api*.cc.
#pragma once

#include "orchestrator/api.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace drover::orchestrator {

struct Api::Call {
    const HttpRequest& request;
    const Match& match;
    Uuid command_id;
    Hash digest;  ///< zero without an Idempotency-Key: such a request is never recognised again
};

[[nodiscard]] inline HttpResponse json_response(const boost::json::object& body,
                                                unsigned status = 200) {
    HttpResponse response;
    response.status = status;
    response.body = boost::json::serialize(body);
    return response;
}

/// The one person there is until there are accounts.
constexpr const char* api_actor = "operator:admin";

/// A whole number in a query parameter or header; `otherwise` if it is not there.
[[nodiscard]] Result<std::uint64_t> number_in(std::string_view text, std::string_view name,
                                              std::uint64_t otherwise);

}  // namespace drover::orchestrator
