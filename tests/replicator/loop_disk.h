/// A loop device over a sparse temporary file, with the raw operations that tests need. Root only.
#pragma once

#include "base/bytes.h"
#include "base/file.h"
#include "replicator/device.h"

#include <cstdint>
#include <memory>
#include <string>

namespace drover::replicator {

/// 4 KiB-aligned memory for O_DIRECT.
class DirectBuffer {
  public:
    explicit DirectBuffer(std::size_t length);
    ~DirectBuffer();
    DirectBuffer(const DirectBuffer&) = delete;
    DirectBuffer& operator=(const DirectBuffer&) = delete;

    [[nodiscard]] std::span<std::uint8_t> bytes() { return {memory_, length_}; }

  private:
    std::uint8_t* memory_;
    std::size_t length_;
};

/// Detached, and its file removed, on destruction.
class LoopDisk {
  public:
    /// Null if this host has no loop devices to give; `why` then says what failed.
    [[nodiscard]] static std::unique_ptr<LoopDisk> make(std::uint64_t size_bytes, std::string& why,
                                                        const std::string& directory = "/var/tmp");
    ~LoopDisk();
    LoopDisk(const LoopDisk&) = delete;
    LoopDisk& operator=(const LoopDisk&) = delete;

    [[nodiscard]] const DeviceFacts& facts() const { return facts_; }

    /// A descriptor of its own for a thread, O_DIRECT.
    [[nodiscard]] Fd open() const;
    /// Adds partition 1 and opens it, O_DIRECT; invalid on failure.
    [[nodiscard]] Fd add_partition(std::uint64_t start, std::uint64_t length) const;

    /// True on success. Multiples of 512 bytes.
    [[nodiscard]] bool write(std::uint64_t offset, std::uint64_t length, std::uint8_t fill) const;
    [[nodiscard]] bool write_zeroes(std::uint64_t offset, std::uint64_t length) const;
    [[nodiscard]] bool discard(std::uint64_t offset, std::uint64_t length) const;
    [[nodiscard]] bool set_accounting(bool on) const;
    [[nodiscard]] bool accounting() const;
    /// Of the file below and, as `losetup -c` does it, of the disk; facts() stay.
    [[nodiscard]] bool resize(std::uint64_t size_bytes) const;
    [[nodiscard]] Bytes contents() const;
    /// That the file below takes.
    [[nodiscard]] std::uint64_t allocated_bytes() const;

  private:
    LoopDisk() = default;

    std::string file_;
    Fd fd_;
    DeviceFacts facts_;
};

/// Memory where there is so much room: disks of tests are busy.
[[nodiscard]] std::string roomy_directory(std::uint64_t bytes);

[[nodiscard]] bool write_fully(int fd, std::uint64_t offset, std::uint64_t length,
                               std::uint8_t fill);

/// Only facts(): what a tracker wants from its device.
class NamedDisk final : public BlockDevice {
  public:
    explicit NamedDisk(DeviceFacts facts)
        : facts_(std::move(facts)) {}

    [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t, std::span<std::uint8_t>) override {
        return unsupported();
    }

    [[nodiscard]] Result<> write(std::uint64_t, ByteView) override { return unsupported(); }

    [[nodiscard]] Result<> write_zeroes(std::uint64_t, std::uint64_t) override {
        return unsupported();
    }

    [[nodiscard]] Result<> flush() override { return unsupported(); }

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override { return facts_.size_bytes; }

  private:
    [[nodiscard]] static Error unsupported() {
        return Error(Errc::unsupported, "test_disk", "has a name only");
    }

    DeviceFacts facts_;
};

}  // namespace drover::replicator
