/// The seeded faults of the product: what base/mutation.h asks for when it is compiled in.
#pragma once

#include "base/mutation.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace drover::sim {

struct Mutant {
    std::string_view name;
    std::string_view breaks;  ///< the rule of the product that it leaves out
};

[[nodiscard]] std::span<const Mutant> all_mutants();
[[nodiscard]] bool is_mutant(std::string_view name);

/// From now on in this process; empty: none.
void switch_mutant_on(std::string_view name);
/// How often the code that is wrong was run. 0: the mutant was not compiled in, or never came to
/// pass.
[[nodiscard]] std::uint64_t mutant_reached();

}  // namespace drover::sim
