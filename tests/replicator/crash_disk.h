/// Disks of one machine that can be stopped at any write or flush, and can then be looked at as a
/// killed process leaves them (all that was written is there) or as a power cut does (of what was
/// not flushed each write is there, torn or missing).
#pragma once

#include "base/random.h"
#include "replicator/device.h"

#include <map>
#include <vector>

namespace drover::replicator::testing {

/// What happens at a step in place of the usual.
enum class Mishap : std::uint8_t {
    death,          ///< the process ends in the middle of it
    io_error,       ///< EIO, nothing done
    no_space,       ///< ENOSPC, nothing done
    short_write,    ///< part of it is done, then EIO; a flush just fails
    flush_forgets,  ///< of a flush: it fails, and what was to be flushed is never written, though
                    ///< it is still read until the power is cut; of a write: as io_error
};

/// Counts every write and flush of its disks.
class Machine {
  public:
    explicit Machine(std::uint64_t seed)
        : random(seed) {}

    std::uint64_t steps = 0;
    std::map<std::uint64_t, Mishap> mishaps;  ///< by step, the first is 1
    bool is_dead = false;
    bool flushes = true;  ///< false: the negative control, a flush does nothing
    SeededRandom random;
};

class CrashDisk final : public BlockDevice {
  public:
    CrashDisk(Machine& machine, std::uint64_t size_bytes, std::string name);

    [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override;
    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] Result<> flush() override;

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override { return facts_.size_bytes; }

    void lose_power();

    /// What is read. A change made here is durable.
    [[nodiscard]] const Bytes& contents() const { return seen_; }

    void flip_bit(std::uint64_t offset);
    void set_contents(const Bytes& contents);

  private:
    struct Write {
        std::uint64_t offset = 0;
        Bytes data;
    };

    [[nodiscard]] Error failed(const char* id) const;
    void put(Bytes& image, const Write& write) const;
    /// Whole sectors, each with an even chance.
    void put_torn(Bytes& image, const Write& write);
    [[nodiscard]] Result<> fail_write(Mishap mishap, const Write& write);

    Machine& machine_;
    DeviceFacts facts_;
    Bytes seen_;
    Bytes durable_;
    std::vector<Write> unsynced_;
};

}  // namespace drover::replicator::testing
