// Rules about tests: what lies below an overlay stands still, and nothing of a test stays.
#include "simulations/invariants.h"

namespace drover::sim {

/// Nothing but rot changes a disk below an overlay; nor would a power cut, were it now.
void Invariants::check_base(SimulatedJob& job, std::string_view when) {
    for (const auto& [plan, layers] : job.target_machine->overlays)
        for (const Overlay& overlay : layers) {
            const Disk& disk = *job.target_machine->find(overlay.disk);
            if (disk.now() == overlay.base && disk.durable() == overlay.base) continue;
            world_.violate("nothing is written below the overlay of a test",
                           "job " + job.name + ": " + overlay.disk + ", " + std::string(when));
        }
}

/// A test runs on a point.
void Invariants::check_overlays_made(SimulatedJob& job) {
    for (const auto& [plan, layers] : job.target_machine->overlays) {
        if (layers.size() < job.spec.disks.size()) continue;
        std::vector<std::vector<Version>> images;
        for (const Overlay& overlay : layers) images.push_back(overlay.base);
        check_point(job, images, "below the overlays of a test");
    }
}

void Invariants::check_overlays_gone(SimulatedJob& job, const std::string& when) {
    const Machine& machine = *job.target_machine;
    if (machine.overlays.empty() && machine.trials.empty()) return;
    world_.violate("a test leaves no overlay behind", "job " + job.name + ", " + when);
}

}  // namespace drover::sim
