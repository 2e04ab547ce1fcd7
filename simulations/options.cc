#include "simulations/options.h"

#include <algorithm>
#include <sstream>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;
constexpr Micros minute = 60 * second;

}  // namespace

Options draw_options(std::uint64_t seed, std::uint32_t jobs, FaultProfile faults, Micros day) {
    Dice dice(seed ^ 0x0b7104aULL);
    Options options;
    options.seed = seed;
    options.jobs = jobs;
    options.faults = faults;
    options.wave_time = dice.between(10, 60) * minute;
    options.day = day;
    options.churn_every = day != 0 ? 240 * minute : dice.between(20, 600) * second;
    options.blocks = static_cast<std::uint32_t>(dice.between(4, 24));
    options.disks = static_cast<std::uint32_t>(dice.between(1, 2));
    options.shuffle = dice.one_in(2);
    // A day holds a pass of every idle job each 10 to 30 minutes, and its lag is that.
    options.idle_pause_ms =
        day != 0 ? dice.between(600, 1'800) * 1'000 : dice.between(50, 2'000) * 100;
    options.weather.latency_max = dice.one_in(4) ? 200'000 : 2'000;
    options.weather.bytes_per_s = dice.one_in(8) ? 1'000'000 : 100'000'000;
    if (dice.one_in(3)) options.sync_time_max = 20'000;
    if (dice.one_in(6)) options.io_time_max = 10'000;
    const bool harsh = faults == FaultProfile::harsh;
    const std::int64_t per_job = harsh ? 6 : 1;
    options.fault_count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(dice.between(3, 12) + dice.between(0, per_job * jobs), 400));
    options.mischief =
        static_cast<std::uint32_t>(harsh ? dice.between(4, 12) : dice.between(12, 60));
    if (dice.one_in(harsh ? 2 : 5)) options.weather.reset_one_in = 2'000;
    Dice more(seed ^ 0x0b7104bULL);
    // A target recognises small disks by all of their blocks, larger ones by some.
    if (more.one_in(6) && jobs <= 50)
        options.blocks = static_cast<std::uint32_t>(more.between(80, 300));
    if (more.one_in(3)) options.race_one_in = static_cast<std::uint32_t>(more.between(2, 30));
    options.outage_s_min = more.one_in(2) ? 20 : 600;
    options.tick_min = second;
    options.tick_max = day != 0 ? 60 * minute : 10 * minute;
    // Rings that not every batch fits into.
    Dice journals(seed ^ 0x0b7104cULL);
    if (journals.one_in(3) && jobs <= 200 && day == 0) {
        options.journal_blocks = static_cast<std::uint32_t>(journals.between(16, 40));
        options.blocks = std::max<std::uint32_t>(options.blocks, 24);
    }
    // Mostly rings that hold all that can come back, and what it overwrites.
    Dice ways(seed ^ 0x0b7104dULL);
    if (ways.one_in(3) && jobs <= 200 && day == 0) {
        const std::uint32_t all = options.disks * options.blocks;
        options.reverse_blocks =
            ways.one_in(4) ? static_cast<std::uint32_t>(ways.between(16, 40)) : 3 * all + 64;
    }
    // A large wave is about what many jobs do to one orchestrator; what a copy goes through is what
    // small waves are about. So its copies are small, and quiet most of the time.
    if (jobs > 200) {
        options.disks = 1;
        options.blocks = 4 + options.blocks % 4;
        options.churn_every = std::max(options.churn_every, 10 * minute);
        options.idle_pause_ms = std::max<std::int64_t>(options.idle_pause_ms, 120'000);
        options.tick_min = 5 * second;
    }
    if (faults == FaultProfile::none) {
        options.fault_count = 0;
        options.mischief = 0;
        options.weather.reset_one_in = 0;
    }
    return options;
}

std::string Options::text() const {
    std::ostringstream out;
    out << "seed " << seed << ", " << jobs << " jobs of " << disks << " disk(s) of " << blocks
        << " blocks, faults " << sim::name_of(faults) << " (" << fault_count << " drawn), wave of "
        << wave_time / minute << " min, a burst of writes every " << churn_every / second
        << " s, latency up to " << weather.latency_max << " us, " << weather.bytes_per_s
        << " bytes/s, sync up to " << sync_time_max << " us, disk calls up to " << io_time_max
        << " us, idle pause " << idle_pause_ms << " ms, agents tick after " << tick_min / second
        << " to " << tick_max / second << " s" << (shuffle ? ", threads shuffled" : "");
    if (journal_blocks != 0)
        out << ", targets' journals of 2 rings of " << journal_blocks << " blocks";
    if (reverse_blocks != 0)
        out << ", sources' journals of 2 rings of " << reverse_blocks << " blocks";
    if (mischief != 0) out << ", mischief in one look of " << mischief;
    return out.str();
}

std::string_view name_of(FaultProfile profile) {
    switch (profile) {
        case FaultProfile::none:
            return "none";
        case FaultProfile::standard:
            return "default";
        case FaultProfile::harsh:
            return "harsh";
    }
    return "unknown";
}

std::optional<FaultProfile> profile_from(std::string_view name) {
    for (const auto profile : {FaultProfile::none, FaultProfile::standard, FaultProfile::harsh})
        if (name_of(profile) == name) return profile;
    return std::nullopt;
}

}  // namespace drover::sim
