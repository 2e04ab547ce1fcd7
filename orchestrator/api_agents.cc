// Agents: tokens, enrolment, who is there.
#include "base/crash_point.h"
#include "base/sha256.h"
#include "history/time_text.h"
#include "orchestrator/api_call.h"
#include "orchestrator/http_json.h"
#include "orchestrator/job_json.h"

#include <boost/json/array.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

void Api::create_token(const Call& call, const Respond& respond) {
    const auto request = read_token_request(call.request.body);
    if (!request) return respond(render(problem_of(request.error())));
    const std::string token = parts_.enrolment.token(call.command_id);
    const Hash hash = token_hash(token);
    RegistryCommand command{.command_id = call.command_id,
                            .actor = api_actor,
                            .wish = CreateToken{request->agent, hash, request->ttl_s}};
    DROVER_CRASH_POINT("enrolment.before_token");
    parts_.core.engine().submit(
        {std::move(command), call.digest},
        [this, respond, token, hash, agent = request->agent](const Result<Answer>& answer) {
            if (!answer) return respond(render(problem_of(answer.error())));
            DROVER_CRASH_POINT("enrolment.token_durable");
            const TokenEntry& entry = parts_.core.state().registry.tokens.at(hash);
            respond(json_response({{"agent", agent},
                                   {"token", token},
                                   {"expires", rfc3339(entry.expires_micros)},
                                   {"ca_pin", parts_.enrolment.ca_pin()}},
                                  201));
        });
}

void Api::enroll(const Call& call, const Respond& respond) {
    auto request = read_enrol_request(call.request.body);
    if (!request) return respond(render(problem_of(request.error())));
    const WallMicros now = parts_.clock.wall_micros();
    const Enrol wish{.agent = request->agent,
                     .token_hash = token_hash(request->token),
                     .request_digest = sha256(as_bytes(request->request_pem)),
                     .hosts = request->hosts};
    const std::string actor = "agent:" + request->agent;
    // Looked at before the certificate request is parsed: only the owner of a token gets that far.
    const auto looked = decide(parts_.core.state().registry, wish, actor, now);
    if (!looked) return respond(render(problem_of(looked.error())));
    // Issued before the token is used up: a request that cannot be signed does not cost it.
    auto certificate =
        parts_.enrolment.issue(request->request_pem, request->agent, request->hosts, now);
    if (!certificate) return respond(render(problem_of(certificate.error())));
    DROVER_CRASH_POINT("enrolment.before_token_use");
    parts_.core.engine().submit(
        {RegistryCommand{.command_id = call.command_id, .actor = actor, .wish = wish}, Hash{}},
        [this, respond, pem = std::move(*certificate)](const Result<Answer>& answer) {
            if (!answer) return respond(render(problem_of(answer.error())));
            DROVER_CRASH_POINT("enrolment.token_used");
            respond(json_response(
                {{"certificate_pem", pem},
                 {"authority_pem", parts_.enrolment.authority_pem()},
                 {"orchestrator_public_pem", parts_.enrolment.orchestrator_public_pem()},
                 {"recovery_public_pem", parts_.recovery_public_pem},
                 {"lineage", uuid_text(parts_.core.state().lineage)}}));
        });
}

HttpResponse Api::list_agents() const {
    json::array items;
    for (const auto& [name, agent] : parts_.core.state().registry.agents) {
        items.push_back(agent_json(parts_.core, name, agent));
    }
    return json_response({{"items", std::move(items)}, {"as_of_seq", parts_.core.state().seq}});
}

}  // namespace drover::orchestrator
