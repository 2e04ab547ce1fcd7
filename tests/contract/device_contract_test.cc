/// What every BlockDevice promises, over memory, image files of even and odd sizes, on a disk's
/// file system and on tmpfs, and over a loop device where this host gives one.
#include "base/file.h"
#include "replicator/device.h"
#include "replicator/device_range.h"
#include "tests/replicator/loop_disk.h"
#include "tests/replicator/result_checks.h"

#include <filesystem>
#include <functional>

#include <catch2/catch.hpp>

#include <stdlib.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t even_bytes = 4U << 20;
constexpr std::uint64_t odd_bytes = (4U << 20) + 1777;

/// Something to open devices on; removed afterwards.
class Disk {
  public:
    virtual ~Disk() = default;
    virtual std::unique_ptr<BlockDevice> open(Access access) = 0;
};

class Memory final : public Disk {
  public:
    explicit Memory(std::uint64_t size_bytes)
        : size_bytes_(size_bytes) {}

    std::unique_ptr<BlockDevice> open(Access) override {
        return std::make_unique<MemoryDevice>(size_bytes_);
    }

  private:
    std::uint64_t size_bytes_;
};

class Image final : public Disk {
  public:
    Image(const std::string& directory, std::uint64_t size_bytes)
        : path(directory + "/drover-device-XXXXXX") {
        const Fd fd(::mkstemp(path.data()));
        REQUIRE(fd.valid());
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) == 0);
    }

    ~Image() override { ::unlink(path.c_str()); }

    std::unique_ptr<BlockDevice> open(Access access) override {
        auto device = open_device(path, access);
        REQUIRE(ok(device));
        return std::move(*device);
    }

    std::string path;
};

class Loop final : public Disk {
  public:
    explicit Loop(std::unique_ptr<LoopDisk> disk)
        : disk_(std::move(disk)) {}

    std::unique_ptr<BlockDevice> open(Access access) override {
        auto device = open_device(disk_->facts().path, access);
        REQUIRE(ok(device));
        return std::move(*device);
    }

  private:
    std::unique_ptr<LoopDisk> disk_;
};

std::vector<std::pair<std::string, std::unique_ptr<Disk>>> all_disks() {
    std::vector<std::pair<std::string, std::unique_ptr<Disk>>> disks;
    disks.emplace_back("memory", std::make_unique<Memory>(even_bytes));
    disks.emplace_back("odd memory", std::make_unique<Memory>(odd_bytes));
    const std::string temporary = std::filesystem::temp_directory_path();
    disks.emplace_back("image", std::make_unique<Image>(temporary, even_bytes));
    disks.emplace_back("odd image", std::make_unique<Image>(temporary, odd_bytes));
    disks.emplace_back("odd image on tmpfs", std::make_unique<Image>("/dev/shm", odd_bytes));
    std::string why;
    if (auto loop = LoopDisk::make(even_bytes, why)) {
        disks.emplace_back("loop device", std::make_unique<Loop>(std::move(loop)));
    } else {
        WARN("no loop device here: " << why);
    }
    return disks;
}

Bytes pattern(std::size_t length, std::uint8_t seed) {
    Bytes out(length);
    for (std::size_t i = 0; i < length; ++i)
        out[i] = static_cast<std::uint8_t>(seed + i * 13 + i / 511);
    return out;
}

Bytes read(BlockDevice& device, std::uint64_t offset, std::size_t length) {
    Bytes out(length);
    REQUIRE(ok(device.read(offset, out)));
    return out;
}

TEST_CASE("device: what was written is read, at any sector, from any address") {
    for (const auto& [name, disk] : all_disks()) {
        INFO(name);
        const auto device = disk->open(Access::read_write);
        const std::uint64_t size = device->facts().size_bytes;
        REQUIRE(ok(device->write(0, pattern(static_cast<std::size_t>(size), 1))));
        Bytes expected = pattern(static_cast<std::size_t>(size), 1);
        for (const std::uint64_t offset : {0U, 512U, 4096U, 7U * 512U, (1U << 20) - 512U}) {
            for (const std::size_t length : {512U, 1024U, 4096U, 65536U + 512U, 3U << 19}) {
                // One byte past an aligned address: nothing may depend on where a buffer lies.
                Bytes data = pattern(length + 1, static_cast<std::uint8_t>(offset + length));
                const ByteView odd = ByteView(data).subspan(1);
                REQUIRE(ok(device->write(offset, odd)));
                std::copy(odd.begin(), odd.end(),
                          expected.begin() + static_cast<std::ptrdiff_t>(offset));
            }
        }
        CHECK(read(*device, 0, static_cast<std::size_t>(size)) == expected);
        Bytes raw(8193);
        REQUIRE(ok(device->read(512, std::span(raw).subspan(1))));
        CHECK(std::equal(raw.begin() + 1, raw.end(), expected.begin() + 512));
        CHECK(ok(device->flush()));
    }
}

TEST_CASE("device: a zeroed range reads as zeroes and its neighbours stay") {
    for (const auto& [name, disk] : all_disks()) {
        INFO(name);
        const auto device = disk->open(Access::read_write);
        REQUIRE(ok(device->write(0, pattern(3U << 20, 5))));
        Bytes expected = pattern(3U << 20, 5);
        const auto zero = [&](std::uint64_t offset, std::uint64_t length) {
            REQUIRE(ok(device->write_zeroes(offset, length)));
            std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(offset), length,
                        std::uint8_t{0});
        };
        zero(4096, 8192);
        zero(65536 + 512, 512);
        zero(1U << 20, 1U << 20);
        CHECK(read(*device, 0, 3U << 20) == expected);
    }
}

TEST_CASE("device: the end of the disk can be written, read and zeroed, and does not move") {
    for (const auto& [name, disk] : all_disks()) {
        INFO(name);
        const auto device = disk->open(Access::read_write);
        const std::uint64_t size = device->facts().size_bytes;
        const std::uint64_t start = size / 4096 * 4096 - 8192;
        const auto length = static_cast<std::size_t>(size - start);
        REQUIRE(ok(device->write(start, pattern(length, 9))));
        REQUIRE(ok(device->flush()));
        CHECK(read(*device, start, length) == pattern(length, 9));
        REQUIRE(ok(device->write_zeroes(start, length)));
        CHECK(read(*device, start, length) == Bytes(length));
        const auto present = device->present_size_bytes();
        REQUIRE(ok(present));
        CHECK(*present == size);
    }
}

TEST_CASE("device: ranges outside the disk or off the sectors are not valid") {
    DeviceFacts facts;
    facts.size_bytes = odd_bytes;
    CHECK(range_is_valid(facts, 0, odd_bytes));
    CHECK(range_is_valid(facts, odd_bytes / 512 * 512, odd_bytes % 512));
    CHECK_FALSE(range_is_valid(facts, 0, odd_bytes + 1));
    CHECK_FALSE(range_is_valid(facts, 512, odd_bytes));
    CHECK_FALSE(range_is_valid(facts, 0, 100));
    CHECK_FALSE(range_is_valid(facts, 100, 512));
    CHECK_FALSE(range_is_valid(facts, ~std::uint64_t{0} - 511, 512));
}

TEST_CASE("device: a disk has the same identity whenever it is opened, and no other disk has it") {
    Image one(std::filesystem::temp_directory_path(), even_bytes);
    Image other(std::filesystem::temp_directory_path(), even_bytes);
    const std::string identity = one.open(Access::read_only)->facts().identity;
    CHECK_FALSE(identity.empty());
    CHECK(one.open(Access::read_write)->facts().identity == identity);
    CHECK(other.open(Access::read_only)->facts().identity != identity);
    std::string why;
    if (const auto loop = LoopDisk::make(even_bytes, why)) {
        const auto device = open_device(loop->facts().path, Access::read_only);
        REQUIRE(ok(device));
        CHECK((*device)->facts().is_block_device);
        CHECK((*device)->facts().major == 7);
        CHECK((*device)->facts().identity.substr(0, 5) == "loop:");
    }
}

TEST_CASE("device: an image that shrinks is noticed, not read beyond its end") {
    Image image(std::filesystem::temp_directory_path(), even_bytes);
    const auto device = image.open(Access::read_only);
    std::filesystem::resize_file(image.path, 1U << 20);
    CHECK(*device->present_size_bytes() == 1U << 20);
    Bytes out(4096);
    const auto beyond = device->read(2U << 20, out);
    REQUIRE_FALSE(beyond.has_value());
    CHECK(beyond.error().id() == "disk_resized");
}

TEST_CASE("device: what was opened for reading cannot be written") {
    Image image(std::filesystem::temp_directory_path(), even_bytes);
    const auto device = image.open(Access::read_only);
    CHECK_FALSE(device->write(0, Bytes(512, 1)).has_value());
    CHECK_FALSE(device->write_zeroes(0, 4096).has_value());
    CHECK(read(*device, 0, 4096) == Bytes(4096));
}

TEST_CASE("device: what is not a disk is refused with a reason") {
    CHECK(open_device("/nonexistent/disk", Access::read_only).error().code() == Errc::not_found);
    CHECK(open_device("/dev", Access::read_only).error().id() == "not_a_disk");
    CHECK(open_device("/dev/null", Access::read_only).error().id() == "not_a_disk");
}

TEST_CASE("memory device: power loss leaves what was flushed") {
    MemoryDevice device(1U << 20);
    REQUIRE(ok(device.write(0, Bytes(512, 1))));
    REQUIRE(ok(device.flush()));
    REQUIRE(ok(device.write(0, Bytes(512, 2))));
    device.fail_flush_in(1);
    CHECK_FALSE(device.flush().has_value());
    device.lose_power();
    CHECK(read(device, 0, 512) == Bytes(512, 1));
}

}  // namespace
}  // namespace drover::replicator
