/// Is there anything on this disk? Signatures by libblkid, then data: both ends and random samples.
#pragma once

#include "base/random.h"
#include "base/result.h"

#include <string>

namespace drover::agent {

constexpr std::uint64_t blank_end_bytes = 1U << 20;  ///< read in full at each end
constexpr std::uint32_t blank_samples = 1024;        ///< of 4 KiB, at random places between

/// Success if nothing was found. Errors: conflict ("target_not_blank", what was found and where),
/// io.
[[nodiscard]] Result<> check_blank_disk(const std::string& path, Random& random);

}  // namespace drover::agent
