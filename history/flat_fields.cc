#include "history/flat_fields.h"

#include "base/assert.h"

namespace drover::history {

FieldWriter& FieldWriter::bytes(ByteView value) {
    DROVER_ASSERT(value.size() <= UINT32_MAX);
    put_u32(out_, static_cast<std::uint32_t>(value.size()));
    put_bytes(out_, value);
    return *this;
}

FieldWriter& FieldWriter::number(std::uint64_t value) {
    Bytes little;
    put_u64(little, value);
    return bytes(little);
}

FieldWriter& FieldWriter::texts(const std::vector<std::string>& values) {
    number(values.size());
    for (const std::string& value : values) text(value);
    return *this;
}

ByteView FieldReader::bytes() {
    if (!ok_ || in_.size() - at_ < 4) {
        ok_ = false;
        return {};
    }
    const std::size_t size = get_u32(in_, at_);
    if (in_.size() - at_ - 4 < size) {
        ok_ = false;
        return {};
    }
    const ByteView value = in_.subspan(at_ + 4, size);
    at_ += 4 + size;
    return value;
}

std::string FieldReader::text() {
    return std::string(as_text(bytes()));
}

std::uint64_t FieldReader::number() {
    const ByteView value = bytes();
    if (value.size() != 8) {
        ok_ = false;
        return 0;
    }
    return get_u64(value, 0);
}

std::vector<std::string> FieldReader::texts() {
    std::vector<std::string> values;
    // A field takes at least four bytes, so a count that lies cannot make this loop long.
    const std::uint64_t count = number();
    for (std::uint64_t i = 0; i < count && ok_; ++i) values.push_back(text());
    return values;
}

}  // namespace drover::history
