#include "orchestrator/http_json.h"

#include "orchestrator/enrolment.h"
#include "orchestrator/json_reader.h"

namespace drover::orchestrator {

namespace {

using statemachine::Wish;

std::uint32_t number_or(JsonReader& in, std::string_view key, std::uint32_t otherwise) {
    return static_cast<std::uint32_t>(in.number(key, UINT32_MAX).value_or(otherwise));
}

std::optional<std::uint32_t> optional_number(JsonReader& in, std::string_view key) {
    const auto value = in.number(key, UINT32_MAX);
    if (!value) return std::nullopt;
    return static_cast<std::uint32_t>(*value);
}

std::optional<Limits> read_limits(JsonReader& in) {
    auto object = in.object("limits");
    if (!object) return std::nullopt;
    return Limits{object->number("rate_bytes_per_s", INT64_MAX).value_or(0)};
}

std::map<HookStep, std::string> read_hooks(JsonReader& in) {
    std::map<HookStep, std::string> hooks;
    auto object = in.object("hooks");
    if (!object) return hooks;
    for (const std::string& key : object->keys()) {
        const auto step = hook_step_from(key);
        const std::string hook = object->required_text(key);
        if (step) {
            hooks[*step] = hook;
        } else {
            object->fail(key, "is not a step at which a hook can run");
        }
    }
    return hooks;
}

/// Every field that an action may have. Those that do not apply to it are accepted and not used.
struct ActionFields {
    std::string reason;
    std::optional<Hash> plan_hash;
    std::optional<WallMicros> at_micros;
    std::optional<std::uint32_t> outage_max_s;
    bool pause_before_activate = false;
    statemachine::RollbackMode mode = statemachine::RollbackMode::discard;
    std::string acknowledged_loss;
    std::string confirm;
    bool waive_comparison = false;
    std::string how;
    statemachine::Serving serving = statemachine::Serving::neither;
    std::optional<Limits> limits;
    bool dry_run = false;
};

std::optional<Hash> read_hash(JsonReader& in, std::string_view key) {
    const auto text = in.text(key);
    if (!text) return std::nullopt;
    const auto hash = Hash::from_hex_text(*text);
    if (!hash) in.fail(key, "must be 64 hexadecimal digits");
    return hash;
}

statemachine::RollbackMode read_mode(JsonReader& in) {
    const std::string mode = in.text("mode").value_or("discard");
    if (mode == "keep") return statemachine::RollbackMode::keep;
    if (mode != "discard") in.fail("mode", "must be discard or keep");
    return statemachine::RollbackMode::discard;
}

statemachine::Serving read_serving(JsonReader& in) {
    const std::string serving = in.text("as").value_or("neither");
    if (serving == "target") return statemachine::Serving::target;
    if (serving == "source") return statemachine::Serving::source;
    if (serving != "neither") in.fail("as", "must be target, source or neither");
    return statemachine::Serving::neither;
}

Comparison read_comparison(JsonReader& in) {
    const auto known = comparison_from(in.text("comparison").value_or("automatic"));
    if (!known) in.fail("comparison", "must be before-release, during-hold, never or automatic");
    return known.value_or(Comparison::automatic);
}

ActionFields read_fields(JsonReader& in) {
    ActionFields fields;
    fields.reason = in.text("reason").value_or("");
    fields.plan_hash = read_hash(in, "plan_hash");
    fields.at_micros = in.time("at");
    fields.outage_max_s = optional_number(in, "outage_max_s");
    fields.pause_before_activate = in.flag("pause_before_activate").value_or(false);
    fields.mode = read_mode(in);
    fields.acknowledged_loss = in.text("acknowledged_loss").value_or("");
    fields.confirm = in.text("confirm").value_or("");
    fields.waive_comparison = in.flag("waive_comparison").value_or(false);
    fields.how = in.text("how").value_or("");
    fields.serving = read_serving(in);
    fields.limits = read_limits(in);
    fields.dry_run = in.flag("dry_run").value_or(false);
    return fields;
}

/// The wish of one kind with its arguments filled in from `fields`.
struct FillIn {
    const ActionFields& fields;

    template <class Plain>
    void operator()(Plain&) const {}  // takes no arguments

    void operator()(statemachine::Throttle& wish) const {
        wish.limits = fields.limits.value_or(Limits{});
    }

    void operator()(statemachine::Arm& wish) const {
        wish.at_micros = fields.at_micros.value_or(0);
        wish.plan_hash = fields.plan_hash;
        wish.outage_max_s = fields.outage_max_s;
        wish.pause_before_activate = fields.pause_before_activate;
    }

    void operator()(statemachine::Cutover& wish) const {
        wish.plan_hash = fields.plan_hash;
        wish.outage_max_s = fields.outage_max_s;
        wish.pause_before_activate = fields.pause_before_activate;
    }

    void operator()(statemachine::Rollback& wish) const {
        wish.mode = fields.mode;
        wish.acknowledged_loss = fields.acknowledged_loss;
    }

    void operator()(statemachine::Resync& wish) const {
        wish.acknowledged_loss = fields.acknowledged_loss;
    }

    void operator()(statemachine::AbandonReverse& wish) const {
        wish.acknowledged_loss = fields.acknowledged_loss;
    }

    void operator()(statemachine::Commit& wish) const {
        wish.confirm = fields.confirm;
        wish.waive_comparison = fields.waive_comparison;
    }

    void operator()(statemachine::DeleteData& wish) const { wish.confirm = fields.confirm; }

    void operator()(statemachine::Resolve& wish) const {
        wish.serving = fields.serving;
        wish.confirm = fields.confirm;
    }

    void operator()(statemachine::ConfirmTargetStopped& wish) const { wish.how = fields.how; }
};

}  // namespace

Result<JobSpec> read_job_spec(std::string_view body) {
    TRY(auto in, JsonReader::parse(body));
    JobSpec spec;
    spec.name = in.required_text("name");
    spec.source_agent = in.required_text("source_agent");
    spec.target_agent = in.required_text("target_agent");
    for (JsonReader& disk : in.objects("disks")) {
        spec.disks.push_back({disk.required_text("source"), disk.required_text("target"),
                              disk.flag("skip_free_space").value_or(false)});
    }
    spec.hooks = read_hooks(in);
    spec.limits = read_limits(in).value_or(Limits{});
    spec.outage_max_s = number_or(in, "outage_max_s", spec.outage_max_s);
    spec.hold_s = number_or(in, "hold_s", spec.hold_s);
    spec.backlog_bytes_max =
        in.number("backlog_bytes_max", INT64_MAX).value_or(spec.backlog_bytes_max);
    spec.comparison = read_comparison(in);
    TRY_VOID(in.finish());
    return spec;
}

Result<ActionRequest> read_action(std::string_view action, std::string_view body) {
    std::optional<Wish> wish;
    for (const Wish& known : statemachine::operator_wishes()) {
        const bool is_plan = std::holds_alternative<statemachine::Plan>(known);
        if (!is_plan && statemachine::action_of(known) == action) wish = known;
    }
    if (!wish) {
        return Error(Errc::not_found, "no_such_action",
                     "there is no action " + printable(action, 64), "nothing was changed",
                     "see the job's allowed_actions");
    }
    TRY(auto in, JsonReader::parse(body));
    const ActionFields fields = read_fields(in);
    if (action == "throttle" && !fields.limits) in.fail("limits", "must be given");
    TRY_VOID(in.finish());
    std::visit(FillIn{fields}, *wish);
    return ActionRequest{*std::move(wish), fields.reason, fields.dry_run};
}

Result<TokenRequest> read_token_request(std::string_view body) {
    TRY(auto in, JsonReader::parse(body));
    TokenRequest request;
    request.agent = in.required_text("agent");
    request.ttl_s = number_or(in, "ttl_s", token_ttl_s_default);
    TRY_VOID(in.finish());
    return request;
}

Result<EnrolRequest> read_enrol_request(std::string_view body) {
    TRY(auto in, JsonReader::parse(body));
    EnrolRequest request;
    request.token = in.required_text("token");
    request.agent = in.required_text("agent");
    request.request_pem = in.required_text("request_pem");
    request.hosts = in.texts("hosts");
    if (!valid_name(request.agent)) in.fail("agent", "is not an agent's name");
    if (request.hosts.size() > hosts_max) in.fail("hosts", "are too many");
    for (const std::string& host : request.hosts) {
        if (!valid_host(host)) in.fail("hosts", "must be host names or addresses");
    }
    TRY_VOID(in.finish());
    return request;
}

}  // namespace drover::orchestrator
