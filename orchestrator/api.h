/// The REST API on parsed requests: routes to commands and queries. No sockets, so tests and
/// fuzzers call it directly; no state of its own.
///
///   HttpRequest ─► match ─► token? ─► query: answer now   |   command: engine.submit ─► answer
///   when durable
#pragma once

#include "orchestrator/core.h"
#include "orchestrator/enrolment.h"
#include "orchestrator/http_message.h"
#include "orchestrator/http_routes.h"
#include "orchestrator/problem.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace drover::eventlog {
class LogAudit;
}

namespace drover::orchestrator {

class Anchors;

struct ApiParts {
    Core& core;
    const Clock& clock;
    Random& random;
    const Enrolment& enrolment;
    Hash api_token_hash;
    /// For the support bundle: the configuration, without secrets.
    std::map<std::string, std::string> settings = {};
    /// For agents that enrol: verifies that a restored log may be obeyed. Empty: there is none.
    std::string recovery_public_pem = {};
    /// nullptr: none are kept (tests).
    Anchors* anchors = nullptr;
    /// Does a piece of long work after what waits now, on the same thread.
    std::function<void(std::function<void()>)> later = [](const auto& work) { work(); };
};

class Api {
  public:
    explicit Api(ApiParts parts);
    ~Api();
    Api(const Api&) = delete;
    Api& operator=(const Api&) = delete;

    /// What is known from the header alone: bytes that the body may have, or why the request is
    /// refused whatever its body is.
    [[nodiscard]] Result<std::size_t> admit(const HttpRequest& head) const;

    /// Calls `respond` exactly once: at once, or after the group commit that follows.
    void handle(const HttpRequest& request, Respond respond);

  private:
    struct Call;

    [[nodiscard]] Result<> authorize(const HttpRequest& request) const;
    void dispatch(const Call& call, const Respond& respond);

    // api_jobs.cc
    void create_job(const Call& call, const Respond& respond);
    void job_action(const Call& call, const Respond& respond);
    [[nodiscard]] Result<HttpResponse> dry_run(const JobCommand& command) const;
    [[nodiscard]] HttpResponse command_answer(const Result<Answer>& answer, const std::string& job,
                                              unsigned status) const;
    [[nodiscard]] HttpResponse rejection(const statemachine::Rejected& rejected,
                                         const JobEntry* entry) const;
    [[nodiscard]] Result<HttpResponse> show_job(const Call& call) const;
    [[nodiscard]] HttpResponse list_jobs() const;
    [[nodiscard]] Result<HttpResponse> job_history(const Call& call) const;
    [[nodiscard]] Result<HttpResponse> job_why(const Call& call) const;

    // api_agents.cc
    void create_token(const Call& call, const Respond& respond);
    void enroll(const Call& call, const Respond& respond);
    [[nodiscard]] HttpResponse list_agents() const;

    // api_system.cc
    [[nodiscard]] HttpResponse readyz() const;
    [[nodiscard]] Result<HttpResponse> events(const Call& call) const;
    [[nodiscard]] Result<HttpResponse> support_bundle() const;
    [[nodiscard]] HttpResponse metrics() const;

    // api_replay.cc
    struct RunningCheck;
    [[nodiscard]] Result<const JobEntry*> find_job(const std::string& name) const;
    [[nodiscard]] Result<eventlog::Seq> point(const Call& call, const char* name,
                                              const JobEntry& entry) const;
    [[nodiscard]] Result<HttpResponse> job_at(const Call& call) const;
    [[nodiscard]] Result<HttpResponse> job_diff(const Call& call) const;
    [[nodiscard]] Result<HttpResponse> what_if(const Call& call) const;
    [[nodiscard]] Result<HttpResponse> job_compare(const Call& call) const;
    void replay_check(const Respond& respond);
    void check_slice();

    // api_audit.cc
    void audit_verify(const Respond& respond);
    void audit_slice(const std::shared_ptr<eventlog::LogAudit>& audit, const Respond& respond);
    [[nodiscard]] Result<> anchor_now() const;
    [[nodiscard]] Result<HttpResponse> audit_anchor() const;
    [[nodiscard]] Result<HttpResponse> audit_export(const Call& call) const;

    ApiParts parts_;
    std::unique_ptr<RunningCheck> check_;  ///< the one that runs, if any
};

}  // namespace drover::orchestrator
