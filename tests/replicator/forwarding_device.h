/// A disk in front of a memory disk: everything goes through, but for what a test overrides.
#pragma once

#include "replicator/device.h"

namespace drover::replicator::testing {

class ForwardingDevice : public BlockDevice {
  public:
    explicit ForwardingDevice(MemoryDevice& disk)
        : disk_(disk) {}

    [[nodiscard]] const DeviceFacts& facts() const override { return disk_.facts(); }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        return disk_.read(offset, out);
    }

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        return disk_.write(offset, data);
    }

    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
        return disk_.write_zeroes(offset, length);
    }

    [[nodiscard]] Result<> flush() override { return disk_.flush(); }

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override {
        return disk_.present_size_bytes();
    }

  protected:
    MemoryDevice& disk_;
};

}  // namespace drover::replicator::testing
