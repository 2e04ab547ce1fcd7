/// Seeded faults of the product, for the proof that the simulator would see them
/// (docs/simulation.md). DROVER_MUTANT("name") is the literal `false`, the name is gone before the
/// compiler sees it. Only the program drover-sim-mutants compiles some sources again with
/// DROVER_MUTANTS defined; there it asks whether that one mutant is switched on.
#pragma once

#ifdef DROVER_MUTANTS

#include <string_view>

namespace drover {

/// Defined by tests/simulations/mutants.cc. At most one mutant is on.
[[nodiscard]] bool is_mutant_on(std::string_view name);

}  // namespace drover

#define DROVER_MUTANT(name) (::drover::is_mutant_on(name))

#else

#define DROVER_MUTANT(name) false

#endif
