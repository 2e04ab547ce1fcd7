#include "agent/commands.h"
#include "agent/control.h"

namespace drover::agent {

int restore_point_command(const RestorePointArguments& arguments) {
    const std::string& job = arguments.job;
    if (arguments.confirm != job)
        return fail(Error(Errc::invalid, "confirmation_missing",
                          "--confirm must repeat the job's name: what the target received after "
                          "the point is taken away, and later points with it",
                          "the target's disks as they are",
                          "drover job points " + job + " shows the points; then confirm"));
    const PointOrder wish{job, arguments.point, local_user()};
    const auto opened = open_config(arguments.config);
    if (!opened) return fail_locally(opened.error());
    const auto answer = ask_agent(opened->paths, "restore-point " + encode_point_order(wish));
    if (!answer) return fail_locally(answer.error());
    if (const auto outcome = decode_outcome(*answer); !outcome)
        return fail_locally(outcome.error());
    say_done(arguments.format,
             {{"job", job}, {"point", std::to_string(wish.point)}, {"by", wish.by}},
             "The target's disks hold point " + std::to_string(wish.point) + " of " + job +
                 ".\n"
                 "Next: look at them. drover job resume " +
                 job + " compares all of both disks and goes on; drover job cancel " + job +
                 " leaves them as they are.");
    return exit_ok;
}

int seal_point_command(const SealPointArguments& arguments) {
    const auto opened = open_config(arguments.config);
    if (!opened) return fail_locally(opened.error());
    const auto answer = ask_agent(opened->paths, "seal-point " + arguments.job);
    if (!answer) return fail_locally(answer.error());
    const auto sealed = decode_sealed(*answer);
    if (!sealed) return fail_locally(sealed.error());
    const std::string point = std::to_string(sealed->batch);
    const std::string kind(name_of(sealed->kind));
    const std::string frozen_ms = std::to_string(sealed->frozen_ms);
    say_done(arguments.format,
             {{"job", arguments.job}, {"point", point}, {"kind", kind}, {"frozen_ms", frozen_ms}},
             "Point " + point + " of " + arguments.job + " is " + kind +
                 "; the filesystems stood still for " + frozen_ms + " ms.\n" +
                 "Next: drover job points " + arguments.job + " shows it on the server.");
    return exit_ok;
}

}  // namespace drover::agent
