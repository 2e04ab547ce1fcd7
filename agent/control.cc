#include "agent/control.h"

#include "agent/local_socket.h"

#include <sstream>
#include <vector>

namespace drover::agent {
namespace {

// A release runs the post-release hook, which may take its whole time limit.
constexpr std::int64_t answer_timeout_ms = 3'700'000;
constexpr std::size_t field_bytes_max = 4096;

constexpr const char* no_token = "-";

Error senseless() {
    return Error(Errc::invalid, "control_answer", "the agent's answer makes no sense",
                 "nothing is known to have changed", "look at drover-agent status");
}

}  // namespace

std::string encode_order(const FenceOrder& order) {
    return order.job_name + " " + (order.token ? order.token->hex() : no_token) + " " + order.by;
}

std::optional<FenceOrder> decode_order(const std::string& text) {
    std::istringstream words(text);
    FenceOrder order;
    std::string token;
    words >> order.job_name >> token;
    std::getline(words >> std::ws, order.by);
    if (order.by.empty()) return std::nullopt;
    if (token == no_token) return order;
    order.token = FenceToken::from_hex_text(token);
    if (!order.token) return std::nullopt;
    return order;
}

std::string encode_point_order(const PointOrder& order) {
    return order.job_name + " " + std::to_string(order.point) + " " + order.by;
}

std::optional<PointOrder> decode_point_order(const std::string& text) {
    std::istringstream words(text);
    PointOrder order;
    words >> order.job_name >> order.point;
    std::getline(words >> std::ws, order.by);
    return order.by.empty() ? std::nullopt : std::optional(order);
}

std::string encode_outcome(const Result<>& outcome) {
    if (outcome) return "ok\n";
    const Error& error = outcome.error();
    std::string out = "error\n";
    out += std::to_string(static_cast<unsigned>(error.code())) + "\n";
    for (const std::string& field : {error.id(), error.detail(), error.kept(), error.next()})
        out += printable(field, field_bytes_max) + "\n";
    return out;
}

Result<> decode_outcome(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    if (lines.size() == 1 && lines[0] == "ok") return {};
    const unsigned long code = lines.size() == 6 ? std::strtoul(lines[1].c_str(), nullptr, 10) : 0;
    if (code == 0 || code > static_cast<unsigned>(Errc::cancelled)) return senseless();
    return Error(static_cast<Errc>(code), lines[2], lines[3], lines[4], lines[5]);
}

std::string encode_sealed(const Result<replicator::SealedPoint>& sealed) {
    if (!sealed) return encode_outcome(sealed.error());
    return "sealed " + std::to_string(sealed->batch) + " " + std::to_string(sealed->taken_micros) +
           " " + std::to_string(static_cast<unsigned>(sealed->kind)) + " " +
           std::to_string(sealed->frozen_ms) + "\n";
}

Result<replicator::SealedPoint> decode_sealed(const std::string& text) {
    std::istringstream words(text);
    std::string verb;
    replicator::SealedPoint point;
    unsigned kind = 0;
    words >> verb >> point.batch >> point.taken_micros >> kind >> point.frozen_ms;
    const bool is_point =
        verb == "sealed" && !words.fail() && kind <= static_cast<unsigned>(PointKind::application);
    if (is_point) {
        point.kind = static_cast<PointKind>(kind);
        return point;
    }
    const auto outcome = decode_outcome(text);
    return outcome ? senseless() : outcome.error();
}

Result<std::string> ask_agent(const StatePaths& paths, const std::string& line) {
    return ask_local_socket(paths.control_socket(), line, answer_timeout_ms);
}

}  // namespace drover::agent
