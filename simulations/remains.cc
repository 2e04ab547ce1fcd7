#include "simulations/remains.h"

namespace drover::sim {
namespace {

using replicator::MemoryDevice;

Bytes bytes_of(const std::vector<Version>& blocks) {
    Bytes bytes(blocks.size() * replicator::block_bytes);
    for (std::size_t block = 0; block < blocks.size(); ++block)
        for (std::size_t i = 0; i < sizeof(Version); ++i)
            bytes[block * replicator::block_bytes + i] =
                static_cast<std::uint8_t>(blocks[block] >> (8 * i));
    return bytes;
}

std::vector<Version> versions_of(const Bytes& bytes) {
    std::vector<Version> blocks;
    for (std::size_t at = 0; at < bytes.size(); at += replicator::block_bytes)
        blocks.push_back(get_u64(bytes, at));
    return blocks;
}

const Disk& disk_of(const SimulatedJob& job, Side side, const DiskPair& pair) {
    return side == Side::source ? *job.source_machine->find(pair.source)
                                : *job.target_machine->find(pair.target);
}

}  // namespace

Remains::Remains(const SimulatedJob& job, Side side, const Bytes& journal_file)
    : file(journal_file.size()) {
    file.contents() = journal_file;
    for (const DiskPair& pair : job.spec.disks) {
        const Disk& disk = disk_of(job, side, pair);
        auto& copy = copies.emplace_back(
            std::make_unique<MemoryDevice>(disk.blocks() * replicator::block_bytes));
        copy->contents() = bytes_of(disk.durable());
        disks.push_back(copy.get());
    }
}

Images Remains::images() const {
    Images images;
    for (const auto& copy : copies) images.push_back(versions_of(copy->contents()));
    return images;
}

Images durable_images(const SimulatedJob& job, Side side) {
    Images images;
    for (const DiskPair& pair : job.spec.disks) {
        const std::uint64_t blocks = disk_of(job, Side::source, pair).blocks();
        std::vector<Version> image = disk_of(job, side, pair).durable();
        image.resize(blocks);
        images.push_back(std::move(image));
    }
    return images;
}

}  // namespace drover::sim
