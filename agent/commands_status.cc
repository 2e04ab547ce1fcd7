#include "agent/activation.h"
#include "agent/commands.h"
#include "agent/control.h"
#include "agent/exposure.h"
#include "agent/fence_store.h"
#include "agent/job_record.h"
#include "agent/json_file.h"
#include "agent/local_socket.h"

#include <iostream>

#include <boost/json.hpp>

namespace drover::agent {
namespace {

namespace json = boost::json;

constexpr std::int64_t probe_timeout_ms = 2'000;

std::string_view mode_text(ReplicateMode mode) {
    switch (mode) {
        case ReplicateMode::transfer:
            return "transfer";
        case ReplicateMode::track_only:
            return "track_only";
        case ReplicateMode::connected:
            return "connected";
        case ReplicateMode::compare:
            return "compare";
    }
    return {};
}

/// `changes`: whether it is known which blocks the users wrote.
void describe_activation(const Activation& activation, json::object& job) {
    job["activation"] = activation_text(activation.state);
    const bool is_known = activation.changes_known || !activation.changes.empty();
    const std::string why =
        activation.changes_lost.empty() ? "not tracked" : activation.changes_lost;
    job["changes"] = is_known ? "known" : why;
}

Result<json::array> jobs_json(const StatePaths& paths) {
    TRY(const auto jobs, list_jobs(paths));
    json::array out;
    for (const JobDirectory& known : jobs) {
        TRY(const auto record, load_replicate(paths.job(known.job, known.side)));
        json::object job{{"job", uuid_text(known.job)}, {"side", name_of(known.side)}};
        if (record) {
            job["name"] = record->effect.job_name;
            job["replicating"] = record->wanted;
            job["mode"] = mode_text(record->work().mode);
            json::array disks;
            for (const std::string& disk : record->disks(known.side)) disks.emplace_back(disk);
            job["disks"] = std::move(disks);
        }
        TRY(const auto activation, load_activation(paths, known.job));
        if (known.side == Side::target && activation) describe_activation(*activation, job);
        out.push_back(std::move(job));
    }
    return out;
}

json::object fence_json(const FenceMarker& marker, bool foreign) {
    json::array disks;
    for (const std::string& disk : marker.work().disks) disks.emplace_back(disk);
    return {{"token", marker.work().token.hex()}, {"job", uuid_text(marker.effect.id.job)},
            {"name", marker.effect.job_name},     {"run", marker.work().run},
            {"state", name_of(marker.state)},     {"foreign", foreign},
            {"breached", marker.breached},        {"fenced_micros", marker.fenced_micros},
            {"disks", std::move(disks)}};
}

Result<json::array> fences_json(const StatePaths& paths, const HostIdentity& host) {
    const FenceStore store(paths.fences(), host);
    TRY(const auto own, store.own());
    TRY(const auto foreign, store.foreign());
    json::array out;
    for (const FenceMarker& marker : own) out.push_back(fence_json(marker, false));
    for (const FenceMarker& marker : foreign) out.push_back(fence_json(marker, true));
    return out;
}

Result<json::array> exposures_json(const StatePaths& paths) {
    TRY(const auto exposures, ExposureStore(paths.exposures()).all());
    TRY(const auto reverse, ExposureStore(paths.reverse_exposures()).all());
    json::array out;
    for (const Exposure& exposure : reverse)
        out.push_back({{"path", exposure.path},
                       {"identity", exposure.identity},
                       {"size_bytes", exposure.size_bytes},
                       {"reverse", true}});
    for (const Exposure& exposure : exposures)
        out.push_back({{"path", exposure.path},
                       {"identity", exposure.identity},
                       {"size_bytes", exposure.size_bytes},
                       {"override_not_blank", exposure.override_not_blank}});
    return out;
}

Result<json::array> guards_json(const StatePaths& paths) {
    TRY(const auto files, list_files(paths.guards()));
    json::array out;
    for (const auto& file : files) {
        if (file.extension() != ".sock") continue;
        const auto answer = ask_local_socket(file, "probe", probe_timeout_ms);
        out.push_back({{"name", file.stem().native()}, {"alive", answer.has_value()}});
    }
    return out;
}

/// Of "disconnected EPOCH WHY": why.
std::string trouble_in(const std::string& answer) {
    if (!answer.starts_with("disconnected ")) return {};
    const std::size_t epoch_end = answer.find(' ', answer.find(' ') + 1);
    if (epoch_end == std::string::npos) return {};
    std::string why = answer.substr(epoch_end + 1);
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return why;
}

Result<json::object> status_json(const Opened& opened) {
    const StatePaths& paths = opened.paths;
    TRY(const HostIdentity host, read_host_identity());
    TRY(const Witness witness, load_witness(paths));
    json::object out{{"name", opened.config.name}, {"state", paths.root.native()}};
    const auto answer = ask_local_socket(paths.control_socket(), "status", probe_timeout_ms);
    out["enrolled"] = load_identity(paths, opened.config.name).has_value();
    out["running"] = answer.has_value();
    out["connected"] = answer && answer->starts_with("connected ");
    out["trouble"] = answer ? trouble_in(*answer) : std::string();
    out["lineage"] = uuid_text(witness.lineage);
    out["epoch"] = witness.epoch;
    out["seq"] = witness.seq;
    TRY(out["jobs"], jobs_json(paths));
    TRY(out["fences"], fences_json(paths, host));
    TRY(out["exposures"], exposures_json(paths));
    TRY(out["guards"], guards_json(paths));
    return out;
}

/// "key value" pairs of every member of a list, one member a line.
void print_list(const json::object& status, std::string_view key) {
    const json::array& items = status.at(key).as_array();
    std::cout << key << " (" << items.size() << ")\n";
    for (const json::value& item : items) {
        std::cout << " ";
        for (const auto& [name, value] : item.as_object()) {
            std::cout << " " << name << "=";
            if (value.is_string())
                std::cout << value.as_string().c_str();
            else
                std::cout << json::serialize(value);
        }
        std::cout << "\n";
    }
}

}  // namespace

int status_command(const std::filesystem::path& config, const std::string& format) {
    auto opened = open_config(config);
    if (!opened) return fail(opened.error());
    auto status = status_json(*opened);
    if (!status) return fail(status.error());
    if (format == "json") {
        std::cout << json::serialize(*status) << "\n";
        return exit_ok;
    }
    const bool running = status->at("running").as_bool();
    const bool connected = status->at("connected").as_bool();
    std::cout << "agent " << opened->config.name << ": "
              << (connected ? "connected"
                  : running ? "running, not connected"
                            : "not running")
              << ", epoch " << json::serialize(status->at("epoch")) << ", seq "
              << json::serialize(status->at("seq")) << "\n";
    if (const json::string& trouble = status->at("trouble").as_string(); !trouble.empty())
        std::cout << "  " << trouble.c_str() << "\n";
    for (const char* key : {"jobs", "fences", "exposures", "guards"}) print_list(*status, key);
    return exit_ok;
}

}  // namespace drover::agent
