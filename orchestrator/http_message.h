/// HTTP requests and answers as plain values: what the routes see instead of Beast and sockets.
#pragma once

#include "base/result.h"
#include "eventlog/log.h"

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace drover::orchestrator {

struct HttpRequest {
    std::string method;                          ///< "GET"
    std::string target;                          ///< as sent: path and query
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body;

    [[nodiscard]] std::string_view header(const std::string& lower_case_name) const {
        const auto found = headers.find(lower_case_name);
        return found == headers.end() ? std::string_view() : std::string_view(found->second);
    }
};

struct EventPage {
    std::string text;        ///< whole server-sent events; empty when there is nothing new
    eventlog::Seq next = 1;  ///< where the following page starts
};

/// Reads the next page of events from `seq` on. The log itself is the queue of a slow reader, so no
/// stream can grow and none can lose an event.
using EventSource = std::function<Result<EventPage>(eventlog::Seq seq)>;

struct BodyPart {
    std::string text;
    bool is_last = false;
};

/// Makes the next part of a body that is too large for memory.
using BodySource = std::function<Result<BodyPart>()>;

struct HttpResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::map<std::string, std::string> headers;
    std::string body;
    /// Set for a stream of events: the body follows from here, page by page, from `stream_from` on.
    EventSource stream;
    eventlog::Seq stream_from = 1;
    /// Set for a large body: these parts in place of `body`. After an error the connection is
    /// broken off, so that nobody takes what came for the whole.
    BodySource parts;
};

/// Called exactly once, perhaps before the handler returns, perhaps after the next group commit.
using Respond = std::function<void(HttpResponse)>;

}  // namespace drover::orchestrator
