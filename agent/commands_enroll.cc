#include "agent/commands.h"
#include "wire/https.h"
#include "wire/pki.h"

#include <iostream>

#include <boost/json.hpp>

namespace drover::agent {
namespace {

constexpr std::size_t token_bytes_max = 4096;

Error bad_server(const std::string& server) {
    return Error(Errc::invalid, "server_malformed", "\"" + server + "\" is not https://HOST:PORT",
                 "nothing was changed", "take the address that droverd init printed");
}

Result<wire::HttpsOptions> server_options(const EnrollArguments& arguments) {
    constexpr std::string_view scheme = "https://";
    if (!arguments.server.starts_with(scheme)) return bad_server(arguments.server);
    std::string rest = arguments.server.substr(scheme.size());
    while (!rest.empty() && rest.back() == '/') rest.pop_back();
    wire::HttpsOptions options;
    const std::size_t colon = rest.rfind(':');
    const bool has_port = colon != std::string::npos && rest.find(']', colon) == std::string::npos;
    options.host = rest.substr(0, has_port ? colon : std::string::npos);
    if (has_port) {
        char* end = nullptr;
        const unsigned long port = std::strtoul(rest.c_str() + colon + 1, &end, 10);
        if (*end != '\0' || port == 0 || port > 65535) return bad_server(arguments.server);
        options.port = static_cast<std::uint16_t>(port);
    }
    if (options.host.size() > 2 && options.host.front() == '[')
        options.host = options.host.substr(1, options.host.size() - 2);
    if (options.host.empty()) return bad_server(arguments.server);
    options.authority_sha256 = arguments.ca_pin;
    return options;
}

/// The key and request of an attempt that may not have been answered: kept, because a token can be
/// used twice only for the same request.
Result<wire::KeyAndRequest> key_and_request(const StatePaths& paths, const std::string& name) {
    wire::KeyAndRequest made;
    auto key = read_text(paths.root / "agent.key", token_bytes_max);
    auto request = read_text(paths.root / "agent.csr", token_bytes_max);
    if (key && request) {
        made.key_pem = *key;
        made.request_pem = *request;
        return made;
    }
    TRY(made, wire::make_agent_request(name));
    TRY_VOID(write_file_durably(paths.root / "agent.key", as_bytes(made.key_pem)));
    TRY_VOID(write_file_durably(paths.root / "agent.csr", as_bytes(made.request_pem)));
    return made;
}

std::string text_of(const boost::json::object& object, std::string_view key) {
    const boost::json::value* value = object.if_contains(key);
    const boost::json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

/// The server's problem document as an Error.
Error refusal(unsigned status, const boost::json::object& problem) {
    Errc code = Errc::io;
    if (status == 400 || status == 413 || status == 422) code = Errc::invalid;
    if (status == 401 || status == 403) code = Errc::denied;
    if (status == 404) code = Errc::not_found;
    if (status == 409) code = Errc::conflict;
    if (status == 408 || status == 429 || status >= 502) code = Errc::unavailable;
    const std::string id = text_of(problem, "code");
    return Error(code, id.empty() ? "enrolment_refused" : id,
                 "droverd answered " + std::to_string(status) + ": " +
                     printable(text_of(problem, "detail"), 512),
                 "this host was not enrolled", printable(text_of(problem, "next"), 512));
}

std::string request_body(const Config& config, const std::string& token,
                         const std::string& request_pem) {
    boost::json::array hosts;
    if (config.listen) hosts.emplace_back(config.listen->advertise);
    const boost::json::object body{{"token", token},
                                   {"agent", config.name},
                                   {"request_pem", request_pem},
                                   {"hosts", std::move(hosts)}};
    return boost::json::serialize(body);
}

Result<AgentIdentity> ask_for_certificate(const EnrollArguments& arguments, const Config& config,
                                          const wire::KeyAndRequest& own) {
    TRY(const wire::HttpsOptions options, server_options(arguments));
    TRY(std::string token, read_text(arguments.token_file, token_bytes_max));
    while (!token.empty() && (token.back() == '\n' || token.back() == ' ')) token.pop_back();
    TRY(const wire::HttpResponse response,
        wire::https_request(options, "POST", "/v1/enroll", {{"Content-Type", "application/json"}},
                            request_body(config, token, own.request_pem)));
    boost::system::error_code failed;
    const boost::json::value parsed = boost::json::parse(response.body, failed);
    const boost::json::object* object = failed ? nullptr : parsed.if_object();
    if (response.status != 200)
        return refusal(response.status, object == nullptr ? boost::json::object() : *object);
    AgentIdentity identity;
    identity.name = config.name;
    identity.tls.key_pem = own.key_pem;
    if (object != nullptr) {
        identity.tls.certificate_pem = text_of(*object, "certificate_pem");
        identity.tls.authority_pem = text_of(*object, "authority_pem");
        identity.orchestrator_public_pem = text_of(*object, "orchestrator_public_pem");
        identity.recovery_public_pem = text_of(*object, "recovery_public_pem");
    }
    return identity;
}

/// What the server sent must fit together, and the authority must be the one that was pinned.
Result<> check_identity(const AgentIdentity& identity, const std::string& ca_pin) {
    TRY(const std::string pin, wire::fingerprint(identity.tls.authority_pem));
    const auto wanted = from_hex(ca_pin);
    if (!wanted || to_hex(*wanted) != pin)
        return Error(Errc::denied, "ca_pin_mismatch", "the authority sent is not the pinned one",
                     "this host was not enrolled",
                     "check --ca-pin against what droverd init printed");
    TRY(const std::string named,
        wire::verified_identity(identity.tls.certificate_pem, identity.tls.authority_pem,
                                SystemClock().wall_micros()));
    if (named != wire::agent_identity(identity.name))
        return Error(Errc::denied, "certificate_mismatch", "the certificate is for " + named,
                     "this host was not enrolled", "use a token made for this agent's name");
    return {};
}

Result<> enroll(const EnrollArguments& arguments) {
    TRY(const Opened opened, open_config(arguments.config));
    const StatePaths& paths = opened.paths;
    TRY_VOID(make_state_directories(paths));
    TRY(const Fd lock, lock_state(paths));
    if (load_identity(paths, opened.config.name))
        return Error(Errc::conflict, "already_enrolled",
                     paths.root.native() + " holds an enrolled identity", "that identity",
                     "to replace it, move the state directory away first");
    SystemRandom random;
    TRY(const Uuid incarnation, load_incarnation(paths, random));
    TRY(const wire::KeyAndRequest own, key_and_request(paths, opened.config.name));
    TRY(const AgentIdentity identity, ask_for_certificate(arguments, opened.config, own));
    TRY_VOID(check_identity(identity, arguments.ca_pin));
    TRY_VOID(store_identity(paths, identity));
    TRY_VOID(remove_file_durably(paths.root / "agent.csr"));
    say_done(arguments.format,
             {{"enrolled", identity.name}, {"incarnation", uuid_text(incarnation)}},
             "enrolled " + identity.name + "  incarnation " + uuid_text(incarnation));
    std::cerr << "Next: drover-agent run --config " << arguments.config.native() << "\n";
    return {};
}

}  // namespace

int enroll_command(const EnrollArguments& arguments) {
    auto outcome = enroll(arguments);
    return outcome ? exit_ok : fail(outcome.error());
}

}  // namespace drover::agent
