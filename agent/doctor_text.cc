// The doctor's report for people and for programs.
#include "agent/doctor.h"

#include <algorithm>
#include <sstream>

#include <boost/json.hpp>

namespace drover::agent {
namespace {

namespace json = boost::json;

constexpr int health_columns = 8;
constexpr int name_columns = 12;

std::string padded(std::string text, int columns) {
    text.append(static_cast<std::size_t>(std::max(1, columns - static_cast<int>(text.size()))),
                ' ');
    return text;
}

void print(std::ostream& out, const std::vector<Check>& checks) {
    const std::string indent(2 + health_columns + name_columns, ' ');
    for (const Check& check : checks) {
        out << "  " << padded(std::string(health_text(check.health)), health_columns)
            << padded(check.name, name_columns) << check.found << "\n";
        if (!check.means.empty()) out << indent << check.means << "\n";
        if (!check.next.empty()) out << indent << "next: " << check.next << "\n";
    }
}

json::array checks_json(const std::vector<Check>& checks) {
    json::array out;
    for (const Check& check : checks)
        out.push_back({{"check", check.name},
                       {"health", health_text(check.health)},
                       {"found", check.found},
                       {"means", check.means},
                       {"next", check.next}});
    return out;
}

}  // namespace

std::string_view health_text(Health health) {
    switch (health) {
        case Health::ok:
            return "ok";
        case Health::warning:
            return "warning";
        case Health::failed:
            return "failed";
    }
    return {};
}

std::size_t DoctorReport::count(Health health) const {
    const auto of = [health](const std::vector<Check>& checks) {
        return static_cast<std::size_t>(
            std::ranges::count(checks, health, [](const Check& check) { return check.health; }));
    };
    std::size_t found = of(host);
    for (const DiskReport& disk : disks) found += of(disk.checks);
    return found;
}

std::string report_text(const DoctorReport& report) {
    std::ostringstream out;
    out << "host\n";
    print(out, report.host);
    for (const DiskReport& disk : report.disks) {
        out << disk.path << (disk.tracker.empty() ? "" : ": tracker " + disk.tracker) << "\n";
        print(out, disk.checks);
    }
    const std::size_t failed = report.count(Health::failed);
    out << failed << " failed, " << report.count(Health::warning) << " warnings, "
        << report.count(Health::ok) << " ok: "
        << (failed == 0 ? "this host can take part in jobs" : "jobs here would be refused") << "\n";
    return out.str();
}

std::string report_json(const DoctorReport& report) {
    json::array disks;
    for (const DiskReport& disk : report.disks)
        disks.push_back(
            {{"path", disk.path}, {"tracker", disk.tracker}, {"checks", checks_json(disk.checks)}});
    const json::object out{{"host", checks_json(report.host)},
                           {"disks", std::move(disks)},
                           {"failed", report.count(Health::failed)},
                           {"warnings", report.count(Health::warning)},
                           {"ok", report.count(Health::ok)}};
    return json::serialize(out) + "\n";
}

}  // namespace drover::agent
