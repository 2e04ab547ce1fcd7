/// What one simulation is: drawn from its seed, printed first, and changed only by the command
/// line, so that a seed and the options on the command line say everything.
#pragma once

#include "base/result.h"
#include "simulations/network.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace drover::sim {

enum class FaultProfile : std::uint8_t {
    none,      ///< nothing goes wrong
    standard,  ///< "default": what happens in data centres
    harsh      ///< much more of it, and all at once
};

struct Options {
    std::uint64_t seed = 0;
    std::uint32_t jobs = 10;
    FaultProfile faults = FaultProfile::standard;
    /// Only these of the drawn faults happen; empty: all. To find the shortest failing prefix.
    std::set<std::uint32_t> only_faults;
    bool no_faults_at_all = false;  ///< only_faults is empty and means it

    // Drawn from the seed:
    Micros wave_time = 0;      ///< jobs are planned and cut over within this time
    Micros day = 0;            ///< the simulation does not end before this
    Micros churn_every = 0;    ///< mean time between two bursts of one workload
    std::uint32_t blocks = 0;  ///< of a disk, 4 KiB each
    std::uint32_t disks = 0;   ///< of a job
    std::uint32_t fault_count = 0;
    Micros sync_time_max = 0;    ///< of a write to stable storage
    Micros io_time_max = 0;      ///< of a call of a data disk
    bool shuffle = false;        ///< which ready thread runs is drawn
    std::uint32_t mischief = 0;  ///< operators do something odd in one look of so many; 0: never
    std::int64_t idle_pause_ms = 0;
    Micros tick_min = 0;  ///< of agents, after something happened
    Micros tick_max = 0;  ///< while nothing does
    /// Users write while one in so many reads of the source is under way; 0: never.
    std::uint32_t race_one_in = 0;
    std::uint32_t outage_s_min = 0;    ///< of the outages that jobs allow
    std::uint32_t journal_blocks = 0;  ///< of each ring of the targets' journals; 0: none
    /// Of each ring of the journals of what comes back to sources; 0: none takes anything back.
    std::uint32_t reverse_blocks = 0;
    Weather weather;

    [[nodiscard]] std::string text() const;
};

/// `day` 0: as long as the wave takes.
[[nodiscard]] Options draw_options(std::uint64_t seed, std::uint32_t jobs, FaultProfile faults,
                                   Micros day);

[[nodiscard]] std::string_view name_of(FaultProfile profile);
[[nodiscard]] std::optional<FaultProfile> profile_from(std::string_view name);

}  // namespace drover::sim
