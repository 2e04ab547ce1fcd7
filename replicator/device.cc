#include "replicator/device.h"

#include "replicator/device_range.h"

namespace drover::replicator {

Result<> BlockDevice::read_many(std::span<const ReadPart> parts) {
    for (const ReadPart& part : parts) TRY_VOID(read(part.offset, part.out));
    return {};
}

Result<> BlockDevice::write_many(std::span<const WritePart> parts) {
    assert_parts(facts(), parts);
    for (const WritePart& part : parts) TRY_VOID(write(part.offset, part.data));
    return {};
}

}  // namespace drover::replicator
