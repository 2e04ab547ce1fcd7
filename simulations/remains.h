/// What a power cut would leave of one side of a job if it came now, for the product's own recovery
/// to be tried on copies.
#pragma once

#include "replicator/redo_journal.h"
#include "simulations/world.h"

#include <memory>
#include <vector>

namespace drover::sim {

/// Of some disks, block by block.
using Images = std::vector<std::vector<Version>>;

struct Remains {
    Remains(const SimulatedJob& job, Side side, const Bytes& journal_file);

    [[nodiscard]] Images images() const;

    replicator::MemoryDevice file;
    std::vector<std::unique_ptr<replicator::MemoryDevice>> copies;
    replicator::RedoJournal::Disks disks;
};

/// What is durable on the disks of one side, as far as the source's reach.
[[nodiscard]] Images durable_images(const SimulatedJob& job, Side side);

}  // namespace drover::sim
