/// The text/event-stream format (WHATWG HTML, section 9.2) as far as droverd uses it: id and data
/// fields, comments as heartbeats. Fed in any pieces. Pure.
#pragma once

#include "cli/transport.h"

#include <functional>
#include <string>
#include <string_view>

namespace drover::cli {

class EventStreamParser {
  public:
    enum class Step {
        wants_more,
        stopped,  ///< on_event returned false
        broken    ///< a line longer than line_bytes_max: no server of ours
    };

    static constexpr std::size_t line_bytes_max = 1U << 20;

    Step feed(std::string_view chunk, const std::function<bool(const ServerEvent&)>& on_event);

  private:
    void take_line(std::string_view line);

    std::string line_;
    ServerEvent event_;
    bool has_data_ = false;
};

}  // namespace drover::cli
