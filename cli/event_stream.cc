#include "cli/event_stream.h"

namespace drover::cli {

EventStreamParser::Step EventStreamParser::feed(
    std::string_view chunk, const std::function<bool(const ServerEvent&)>& on_event) {
    for (;;) {
        const auto end = chunk.find('\n');
        const auto piece = chunk.substr(0, end);
        if (line_.size() + piece.size() > line_bytes_max) return Step::broken;
        line_ += piece;
        if (end == std::string_view::npos) return Step::wants_more;
        chunk.remove_prefix(end + 1);
        if (line_.ends_with('\r')) line_.pop_back();
        const std::string line = std::exchange(line_, {});
        if (!line.empty()) {
            take_line(line);
            continue;
        }
        if (!has_data_) continue;
        has_data_ = false;
        if (!on_event(std::exchange(event_, {}))) return Step::stopped;
    }
}

void EventStreamParser::take_line(std::string_view line) {
    const auto colon = line.find(':');
    const auto field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "id") event_.id = value;
    if (field == "data") {
        if (has_data_) event_.data += '\n';
        event_.data += value;
        has_data_ = true;
    }
}

}  // namespace drover::cli
