/// Many reads or many writes of one disk that are under way at once, and what becomes of each:
/// done, begun again for its rest, or the failure of all. Pure: io_ring.h moves the bytes.
///
///   next ─► under way ─ended─┬─► all of it: done
///                            ├─► a part of it, or interrupted: next again, for the rest
///                            └─► anything else: failure; nothing more is begun, the rest ends
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace drover::replicator {

struct Transfer {
    std::uint64_t offset = 0;
    std::uint8_t* memory = nullptr;
    std::size_t length = 0;
};

class Transfers {
  public:
    /// `unit_bytes`: what the offsets and lengths are multiples of; so are those of a rest.
    Transfers(std::vector<Transfer> parts, std::size_t unit_bytes);

    /// The part to begin now; none if all were begun, or one failed.
    [[nodiscard]] std::optional<std::size_t> next();

    /// What is still to be moved of a part.
    [[nodiscard]] const Transfer& rest(std::size_t part) const { return parts_[part]; }

    /// `result`: the bytes that it moved, or a negative error number.
    void ended(std::size_t part, std::int64_t result);

    [[nodiscard]] std::size_t under_way() const { return under_way_; }

    struct Failure {
        Transfer rest;   ///< that was not moved
        int number = 0;  ///< errno; 0: not even one unit was moved, and no error said why
    };

    [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }

    /// Interruptions of all parts together after which one more is a failure.
    static constexpr std::uint32_t interrupted_max = 1000;

  private:
    std::vector<Transfer> parts_;
    std::vector<std::size_t> again_;  ///< parts of which a rest is to be begun
    std::size_t begun_ = 0;
    std::size_t under_way_ = 0;
    std::uint32_t interrupted_ = 0;
    const std::size_t unit_bytes_;
    std::optional<Failure> failure_;
};

}  // namespace drover::replicator
