#include "base/log.h"
#include "replicator/peer_codec.h"
#include "replicator/target_replica.h"
#include "wire/pki.h"

namespace drover::replicator {
namespace {

constexpr const char* untouched = "nothing was read or written here";

/// Everything about a ticket that needs no job state: whose it is, who signed it, until when it
/// holds.
Result<> check(const Ticket& ticket, const std::string& peer, const GateOptions& options,
               WallMicros now) {
    if (!wire::verify_signature(options.orchestrator_public_pem, ticket_message(ticket),
                                ticket.signature))
        return Error(Errc::denied, "ticket_forged",
                     "the ticket is not signed by this agent's orchestrator", untouched,
                     "check that both agents are enrolled with the same orchestrator");
    if (ticket.not_after_micros <= now)
        return Error(Errc::denied, "ticket_expired", "the ticket has expired", untouched,
                     "the orchestrator issues a new one when it is reachable; check both clocks");
    if (peer != "drover:agent:" + ticket.source_agent)
        return Error(Errc::denied, "ticket_not_yours",
                     "the ticket is for source " + ticket.source_agent + ", shown by " + peer,
                     untouched, "check which agent the job names as its source");
    if (ticket.target_agent != options.own_agent)
        return Error(
            Errc::denied, "ticket_not_yours",
            "the ticket is for target " + ticket.target_agent + ", not for " + options.own_agent,
            untouched, "check the address that the source dials");
    return {};
}

void refuse(wire::Link& link, const Error& error) {
    log::warn("replicator", "a peer was refused: " + error.text(), "peer=" + link.peer());
    // If the peer is gone already, nobody misses the reason.
    (void)link.send(encode(TargetMessage(PeerRefused{error})));
}

}  // namespace

PeerGate::PeerGate(GateOptions options, Find find, Clock& clock)
    : options_(std::move(options)),
      find_(std::move(find)),
      clock_(clock) {}

void PeerGate::admit_control(std::unique_ptr<wire::Link> link) {
    auto bytes = link->receive(options_.hello_timeout_ms);
    if (!bytes) return;
    const auto message = decode_source_message(*bytes);
    if (!message) return refuse(*link, message.error());
    const auto* hello = std::get_if<PeerHello>(&*message);
    if (hello == nullptr)
        return refuse(*link, Error(Errc::invalid, "bad_message", "the first message is not a hello",
                                   untouched));
    const auto valid = check(hello->ticket, link->peer(), options_, clock_.wall_micros());
    if (!valid) return refuse(*link, valid.error());
    const std::shared_ptr<PeerServer> server = find_(hello->ticket);
    if (!server)
        return refuse(*link, Error(Errc::unavailable, "job_not_here",
                                   "this target does not replicate job " +
                                       printable(hello->ticket.job_name, 64) + " now",
                                   untouched, "the source tries again by itself"));
    server->serve_control(std::move(link), std::move(*bytes));
}

void PeerGate::admit_bulk(std::unique_ptr<wire::Link> link) {
    auto bytes = link->receive(options_.hello_timeout_ms);
    if (!bytes) return;
    const auto hello = decode_bulk_hello(*bytes);
    // A bulk link carries nothing back: the source learns the reason on its control link.
    const auto valid = hello ? check(hello->ticket, link->peer(), options_, clock_.wall_micros())
                             : Result<>(hello.error());
    if (!valid) {
        log::warn("replicator", "a bulk link was refused: " + valid.error().text(),
                  "peer=" + link->peer());
        return;
    }
    if (const std::shared_ptr<PeerServer> server = find_(hello->ticket))
        server->serve_bulk(std::move(link), std::move(*bytes));
}

}  // namespace drover::replicator
