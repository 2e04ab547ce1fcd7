#include "agent/commands.h"
#include "agent/doctor_look.h"
#include "agent/host_linux.h"
#include "base/exit_code.h"

#include <iostream>

namespace drover::agent {

int doctor_command(const DoctorArguments& arguments) {
    const auto config = find_config(arguments.config);
    HostLinuxOptions options;
    if (config) {
        options.paths.root = config->config.state;
        options.hooks = config->config.hooks;
    }
    SystemRandom random;
    HostLinux host(std::move(options), random);
    const HostFacts facts = look_at_host(config, host);
    std::vector<DiskView> disks;
    std::vector<std::string> named;
    for (const std::string& path : arguments.disks) {
        disks.push_back(look_at_disk(host, path));
        named.push_back(disks.back().kernel_name);
    }
    DoctorReport report;
    report.host = judge_host(facts);
    for (const DiskView& disk : disks) report.disks.push_back(judge_disk(facts, disk, named));
    std::cout << (arguments.format == "json" ? report_json(report) : report_text(report));
    const bool is_fit = report.count(Health::failed) == 0;
    return is_fit ? exit_ok : static_cast<int>(ExitCode::preflight_critical);
}

}  // namespace drover::agent
