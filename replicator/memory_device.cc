#include "replicator/device.h"
#include "replicator/device_range.h"

#include <algorithm>

namespace drover::replicator {
namespace {

Error injected(std::string_view action, std::uint64_t offset, std::uint64_t length) {
    return Error(
        Errc::io, "disk_" + std::string(action) + "_failed",
        "injected fault at bytes " + std::to_string(offset) + "+" + std::to_string(length));
}

}  // namespace

MemoryDevice::MemoryDevice(std::uint64_t size_bytes, std::uint32_t sector_bytes)
    : contents_(size_bytes),
      durable_(size_bytes) {
    facts_.path = "memory";
    facts_.identity = "memory:" + std::to_string(size_bytes);
    facts_.size_bytes = size_bytes;
    facts_.sector_bytes = sector_bytes;
}

bool MemoryDevice::due(std::uint32_t& left) {
    return left > 0 && --left == 0;
}

Result<> MemoryDevice::read(std::uint64_t offset, std::span<std::uint8_t> out) {
    assert_range(facts_, offset, out.size());
    const std::lock_guard lock(mutex_);
    if (due(fail_read_in_)) return injected("read", offset, out.size());
    const auto from = contents_.begin() + static_cast<std::ptrdiff_t>(offset);
    std::copy_n(from, out.size(), out.begin());
    return {};
}

Result<> MemoryDevice::write(std::uint64_t offset, ByteView data) {
    assert_range(facts_, offset, data.size());
    const std::lock_guard lock(mutex_);
    if (due(fail_write_in_)) return injected("write", offset, data.size());
    std::copy(data.begin(), data.end(), contents_.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
}

Result<> MemoryDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
    assert_range(facts_, offset, length);
    const std::lock_guard lock(mutex_);
    if (due(fail_write_in_)) return injected("write", offset, length);
    const auto from = contents_.begin() + static_cast<std::ptrdiff_t>(offset);
    std::fill_n(from, length, std::uint8_t{0});
    return {};
}

Result<> MemoryDevice::flush() {
    const std::lock_guard lock(mutex_);
    if (due(fail_flush_in_)) return injected("flush", 0, facts_.size_bytes);
    durable_ = contents_;
    return {};
}

Result<std::uint64_t> MemoryDevice::present_size_bytes() {
    return facts_.size_bytes;
}

void MemoryDevice::lose_power() {
    const std::lock_guard lock(mutex_);
    contents_ = durable_;
}

}  // namespace drover::replicator
