// drover-agent: the command line. Everything else is in the library and in commands_*.cc.
#include "agent/commands.h"

#include <functional>
#include <iostream>

#include <CLI/CLI.hpp>

namespace {

using namespace drover::agent;

/// What the chosen command left for main to do.
using Chosen = std::function<int()>;

struct Arguments {
    std::string config = "/etc/drover/agent.toml";
    EnrollArguments enroll;
    ExposeArguments expose;
    std::string format = "text";
    DoctorArguments doctor;
    ReleaseArguments release;
    RestorePointArguments restore_point;
    SealPointArguments seal_point;
    std::string token;
    std::string lineage;
    std::string guard_directory;
    std::string guard_name;
    std::vector<std::string> guard_disks;
};

enum class HasOutput { no, yes };

CLI::App* add(CLI::App& app, const std::string& name, const std::string& what, Arguments& arguments,
              HasOutput has_output = HasOutput::no) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("--config", arguments.config, "configuration file")->capture_default_str();
    if (has_output == HasOutput::yes)
        command->add_option("-o,--output", arguments.format, "text or json")
            ->check(CLI::IsMember({"text", "json"}));
    return command;
}

void add_enroll(CLI::App& app, Arguments& arguments, Chosen& chosen) {
    CLI::App* enroll = add(app, "enroll", "get this host's certificate, with a one-time token",
                           arguments, HasOutput::yes);
    enroll->add_option("--server", arguments.enroll.server, "https://HOST:PORT of droverd")
        ->required();
    enroll->add_option("--ca-pin", arguments.enroll.ca_pin, "fingerprint that droverd init printed")
        ->required();
    enroll->add_option("--token-file", arguments.enroll.token_file, "file with the one-time token")
        ->required();
    enroll->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.enroll.config = arguments.config;
            arguments.enroll.format = arguments.format;
            return enroll_command(arguments.enroll);
        };
    });
}

void add_exposing(CLI::App& app, Arguments& arguments, Chosen& chosen) {
    CLI::App* expose = add(app, "expose", "give a disk of this host to drover, to be overwritten",
                           arguments, HasOutput::yes);
    expose->add_option("disk", arguments.expose.disk, "whole disk or image file")->required();
    expose->add_option("--override-not-blank", arguments.expose.override_identity,
                       "identity of a disk whose contents may be lost");
    expose->add_flag(
        "--reverse", arguments.expose.reverse,
        "on a source: only what its target's users wrote, should a rollback keep that");
    expose->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.expose.config = arguments.config;
            arguments.expose.format = arguments.format;
            return expose_command(arguments.expose);
        };
    });
    CLI::App* unexpose = add(app, "unexpose", "take a disk back", arguments, HasOutput::yes);
    unexpose->add_option("disk", arguments.expose.disk, "as it was exposed")->required();
    unexpose->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.expose.config = arguments.config;
            arguments.expose.format = arguments.format;
            return unexpose_command(arguments.expose);
        };
    });
}

void add_fence(CLI::App& app, Arguments& arguments, Chosen& chosen) {
    CLI::App* release =
        add(app, "release", "break a fence by hand; the one way to make two writers", arguments,
            HasOutput::yes);
    release->add_option("--job", arguments.release.job, "name of the job")->required();
    release->add_option("--confirm", arguments.release.confirm, "the job's name again")->required();
    release->add_option("--token", arguments.release.token,
                        "which fence, if jobs of this name left several");
    release->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.release.config = arguments.config;
            arguments.release.format = arguments.format;
            return release_command(arguments.release);
        };
    });
    CLI::App* fence = app.add_subcommand("fence", "fences that committed jobs left");
    fence->require_subcommand(1);
    CLI::App* remove =
        add(*fence, "remove", "end the fence of a committed job", arguments, HasOutput::yes);
    remove->add_option("--token", arguments.token, "as drover-agent status shows it")->required();
    remove->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            return fence_remove_command(arguments.config, arguments.token, arguments.format);
        };
    });
}

void add_points(CLI::App& app, Arguments& arguments, Chosen& chosen) {
    CLI::App* seal = add(app, "seal-point",
                         "freeze the filesystems of a job's source for a moment, and make a point "
                         "of them",
                         arguments, HasOutput::yes);
    seal->add_option("--job", arguments.seal_point.job, "name of the job")->required();
    seal->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.seal_point.config = arguments.config;
            arguments.seal_point.format = arguments.format;
            return seal_point_command(arguments.seal_point);
        };
    });
    CLI::App* restore =
        add(app, "restore-point", "take the disks of a paused job back to a point of their journal",
            arguments, HasOutput::yes);
    restore->add_option("--job", arguments.restore_point.job, "name of the job")->required();
    restore
        ->add_option("--point", arguments.restore_point.point,
                     "as drover job points shows it on the server")
        ->required();
    restore->add_option("--confirm", arguments.restore_point.confirm, "the job's name again")
        ->required();
    restore->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.restore_point.config = arguments.config;
            arguments.restore_point.format = arguments.format;
            return restore_point_command(arguments.restore_point);
        };
    });
}

void add_rest(CLI::App& app, Arguments& arguments, Chosen& chosen) {
    CLI::App* run = add(app, "run", "run the agent", arguments);
    run->callback(
        [&arguments, &chosen] { chosen = [&arguments] { return run_command(arguments.config); }; });
    CLI::App* status = add(app, "status", "jobs, fences, exposures and guards here", arguments);
    status->add_option("-o,--output", arguments.format, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    status->callback([&arguments, &chosen] {
        chosen = [&arguments] { return status_command(arguments.config, arguments.format); };
    });
    CLI::App* doctor = add(app, "doctor", "what works on this host and why not; changes nothing",
                           arguments, HasOutput::yes);
    doctor->add_option("--disk", arguments.doctor.disks, "whole disk or image file, repeatable");
    doctor->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            arguments.doctor.config = arguments.config;
            arguments.doctor.format = arguments.format;
            return doctor_command(arguments.doctor);
        };
    });
    CLI::App* accept =
        add(app, "accept-restore", "obey a restored log that no recovery key vouches for",
            arguments, HasOutput::yes);
    accept->add_option("--lineage", arguments.lineage, "as drover-agent status names it")
        ->required();
    accept->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            return accept_restore_command(arguments.config, arguments.lineage, arguments.format);
        };
    });
    CLI::App* anchors =
        add(app, "anchors", "the last anchors of the server's log that this host got", arguments);
    anchors->callback([&arguments, &chosen] {
        chosen = [&arguments] { return anchors_command(arguments.config); };
    });
    // Started by the agent itself, not by people.
    CLI::App* guard = app.add_subcommand("guard", "hold disks for the agent")->group("");
    guard->add_option("--directory", arguments.guard_directory)->required();
    guard->add_option("--name", arguments.guard_name)->required();
    guard->add_option("--disk", arguments.guard_disks)->required();
    guard->callback([&arguments, &chosen] {
        chosen = [&arguments] {
            return guard_command(arguments.guard_directory, arguments.guard_name,
                                 arguments.guard_disks);
        };
    });
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("drover-agent: source and target side of moving servers");
    app.set_version_flag("--version", "drover-agent " DROVER_VERSION);
    app.require_subcommand(1);
    Arguments arguments;
    Chosen chosen;
    try {
        add_enroll(app, arguments, chosen);
        add_exposing(app, arguments, chosen);
        add_fence(app, arguments, chosen);
        add_points(app, arguments, chosen);
        add_rest(app, arguments, chosen);
        app.parse(argc, argv);
        return chosen();
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? exit_ok : exit_usage;
    } catch (const std::exception& error) {
        std::cerr << "drover-agent: " << error.what() << "\n";
        return 1;
    }
}
