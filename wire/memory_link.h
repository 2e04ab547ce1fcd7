/// Two Links joined in memory, with a bounded queue each way: for tests and simulations.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "wire/link.h"

namespace drover::wire {

struct MemoryLinkOptions {
    std::string first_identity = "drover:agent:source";
    std::string second_identity = "drover:agent:target";
    std::size_t queued_bytes_max = 8U << 20;  ///< send blocks above it
    /// Cut the pipe after this many frames went from first to second; 0: never.
    std::uint64_t cut_after_frames = 0;
};

/// `first.peer()` is the second identity and the other way round.
[[nodiscard]] std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_memory_links(
    const MemoryLinkOptions& options = {});

}  // namespace drover::wire
