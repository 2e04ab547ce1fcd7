/// What every BlockDevice promises, over memory, image files of even and odd sizes, on a disk's
/// file system and on tmpfs, and over a loop device where this host gives one.
#include "base/file.h"
#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/device_range.h"
#include "tests/replicator/loop_disk.h"
#include "tests/replicator/result_checks.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include <catch2/catch.hpp>

#include <stdlib.h>
#include <sys/resource.h>
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

/// Page-aligned memory for `count` blocks, or one byte beyond it.
class Blocks {
  public:
    explicit Blocks(std::size_t count, std::size_t shift = 0)
        : memory_(count * block + shift),
          shift_(shift) {}

    [[nodiscard]] std::span<std::uint8_t> at(std::size_t index) {
        return memory_.first(memory_bytes(index + 1)).subspan(shift_ + index * block);
    }

    static constexpr std::size_t block = 4096;

  private:
    [[nodiscard]] std::size_t memory_bytes(std::size_t count) const {
        return count * block + shift_;
    }

    AlignedBuffer memory_;
    std::size_t shift_;
};

TEST_CASE("device: many parts are written and read as if one after the other") {
    constexpr std::size_t count = 300;  // more than are ever under way
    for (const auto& [name, disk] : all_disks()) {
        for (const std::size_t shift : {0U, 1U}) {
            INFO(name << " shift " << shift);
            const auto device = disk->open(Access::read_write);
            const std::uint64_t size = device->facts().size_bytes;
            REQUIRE(ok(device->write(0, pattern(static_cast<std::size_t>(size), 3))));
            Bytes expected = pattern(static_cast<std::size_t>(size), 3);
            Blocks blocks(count, shift);
            std::vector<WritePart> writes;
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint64_t offset = i * 3 * Blocks::block;
                std::ranges::copy(pattern(Blocks::block, static_cast<std::uint8_t>(i)),
                                  blocks.at(i).begin());
                std::ranges::copy(blocks.at(i),
                                  expected.begin() + static_cast<std::ptrdiff_t>(offset));
                writes.push_back({offset, blocks.at(i)});
            }
            // The end of an odd image too, which direct I/O cannot reach.
            const std::uint64_t last = (size - 1) / Blocks::block * Blocks::block;
            const Bytes end = pattern(static_cast<std::size_t>(size - last), 77);
            std::ranges::copy(end, expected.begin() + static_cast<std::ptrdiff_t>(last));
            writes.push_back({last, end});
            REQUIRE(ok(device->write_many(writes)));
            REQUIRE(ok(device->flush()));
            CHECK(read(*device, 0, static_cast<std::size_t>(size)) == expected);

            Blocks found(count, shift);
            Bytes found_end(end.size());
            std::vector<ReadPart> reads;
            reads.push_back({last, found_end});
            for (std::size_t i = count; i-- > 0;)
                reads.push_back({i * 3 * Blocks::block, found.at(i)});
            REQUIRE(ok(device->read_many(reads)));
            bool same = found_end == end;
            for (std::size_t i = 0; i < count; ++i)
                same = same && std::ranges::equal(found.at(i), blocks.at(i));
            CHECK(same);
        }
    }
}

TEST_CASE("device: no parts are nothing to do") {
    for (const auto& [name, disk] : all_disks()) {
        INFO(name);
        const auto device = disk->open(Access::read_write);
        CHECK(ok(device->read_many({})));
        CHECK(ok(device->write_many({})));
    }
}

TEST_CASE("device: many at once may be asked for by several threads") {
    for (const auto& [name, disk] : all_disks()) {
        INFO(name);
        const auto device = disk->open(Access::read_write);
        std::vector<std::thread> threads;
        std::atomic<int> failures = 0;
        constexpr std::size_t count = 100;
        for (std::size_t t = 0; t < 3; ++t)
            threads.emplace_back([&device = *device, &failures, t] {
                Blocks blocks(count);
                Blocks found(count);
                std::vector<WritePart> writes;
                std::vector<ReadPart> reads;
                for (std::size_t i = 0; i < count; ++i) {
                    std::ranges::fill(blocks.at(i), static_cast<std::uint8_t>(t * 50 + i));
                    const std::uint64_t offset = (i * 3 + t) * Blocks::block;
                    writes.push_back({offset, blocks.at(i)});
                    reads.push_back({offset, found.at(i)});
                }
                for (int round = 0; round < 5; ++round) {
                    if (!device.write_many(writes) || !device.read_many(reads)) ++failures;
                    for (std::size_t i = 0; i < count; ++i)
                        if (!std::ranges::equal(blocks.at(i), found.at(i))) ++failures;
                }
            });
        for (std::thread& thread : threads) thread.join();
        CHECK(failures == 0);
    }
}

TEST_CASE("device: one part of many beyond the end of an image that shrank fails all") {
    for (const std::uint64_t left : {std::uint64_t{1} << 20, (std::uint64_t{1} << 20) + 1777}) {
        Image image(std::filesystem::temp_directory_path(), even_bytes);
        const auto device = image.open(Access::read_only);
        std::filesystem::resize_file(image.path, left);
        Blocks blocks(100);
        std::vector<ReadPart> parts;
        for (std::size_t i = 0; i < 100; ++i)
            parts.push_back({i * 4 * Blocks::block, blocks.at(i)});
        const auto beyond = device->read_many(parts);
        REQUIRE_FALSE(beyond.has_value());
        CHECK(beyond.error().id() == "disk_resized");
        CHECK(ok(device->read_many(std::span(parts).first(50))));
    }
}

TEST_CASE("device: a write of many that the file system cuts short is not called written") {
    Image image(std::filesystem::temp_directory_path(), even_bytes);
    const auto device = image.open(Access::read_write);
    Blocks blocks(16);
    std::vector<WritePart> parts;
    for (std::size_t i = 0; i < 16; ++i) parts.push_back({i * 2 * Blocks::block, blocks.at(i)});
    // The limit of a process for the size of its files lies in the middle of a part.
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit low{9 * Blocks::block - 2048, before.rlim_max};
    const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
    // The last of these is the one that is cut.
    const auto written = device->write_many(std::span(parts).first(5));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    ::signal(SIGXFSZ, old_handler);
    REQUIRE_FALSE(written.has_value());
    CHECK((written.error().id() == "disk_write_failed" || written.error().id() == "disk_full"));
    CHECK(ok(device->write_many(parts)));
}

TEST_CASE("device: what a disk below cannot give fails the whole of many") {
    std::string why;
    const auto loop = LoopDisk::make(even_bytes, why);
    if (!loop) {
        WARN("no loop device here: " << why);
        return;
    }
    const auto device = open_device(loop->facts().path, Access::read_write);
    REQUIRE(ok(device));
    Blocks blocks(100);
    std::vector<ReadPart> reads;
    std::vector<WritePart> writes;
    for (std::size_t i = 0; i < 100; ++i) {
        reads.push_back({i * 4 * Blocks::block, blocks.at(i)});
        writes.push_back({i * 4 * Blocks::block, blocks.at(i)});
    }
    REQUIRE(ok((*device)->write_many(writes)));
    // The disk ends in the middle now, as the kernel says too.
    REQUIRE(loop->resize(1U << 20));
    CHECK_FALSE((*device)->read_many(reads).has_value());
    CHECK_FALSE((*device)->write_many(writes).has_value());
}

TEST_CASE("memory device: an injected fault fails the whole of many") {
    MemoryDevice device(even_bytes);
    Blocks blocks(10);
    std::vector<ReadPart> reads;
    std::vector<WritePart> writes;
    for (std::size_t i = 0; i < 10; ++i) {
        reads.push_back({i * Blocks::block, blocks.at(i)});
        writes.push_back({i * Blocks::block, blocks.at(i)});
    }
    device.fail_read_in(7);
    CHECK_FALSE(device.read_many(reads).has_value());
    device.fail_write_in(7);
    CHECK_FALSE(device.write_many(writes).has_value());
    CHECK(ok(device.read_many(reads)));
    CHECK(ok(device.write_many(writes)));
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
