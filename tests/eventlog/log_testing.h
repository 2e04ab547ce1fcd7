/// The small language of the log's tests: directories that vanish, events, batches, whole logs.
#pragma once

#include "eventlog/log.h"

#include <filesystem>
#include <string>

#include <catch2/catch.hpp>

#include <stdlib.h>
#include <unistd.h>

/// A failed REQUIRE(result) prints the error.
template <class T>
struct Catch::StringMaker<drover::Result<T>> {
    static std::string convert(const drover::Result<T>& result) {
        return result ? std::string("a value") : result.error().text();
    }
};

namespace drover::eventlog::testing {

/// A place in memory, if there is one, for tests that model durability themselves or need none.
[[nodiscard]] inline std::filesystem::path fast_directory() {
    const std::filesystem::path memory = "/dev/shm";
    return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(
        const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
        std::string pattern = (parent / "drover-log-XXXXXX").native();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }

    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    ~TemporaryDirectory() {
        std::error_code ignored;  // The directory for temporary files is cleaned by others, too.
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

[[nodiscard]] inline Uuid uuid(std::uint8_t last) {
    Uuid id;
    id.data.fill(0x40);
    id.data[15] = last;
    return id;
}

[[nodiscard]] inline Hash digest(std::uint8_t byte) {
    Hash hash;
    hash.data.fill(byte);
    return hash;
}

[[nodiscard]] inline StreamId job(std::uint8_t number) {
    return {StreamKind::job, uuid(number)};
}

[[nodiscard]] inline NewEvent event(std::string_view payload, std::uint16_t kind = 7) {
    NewEvent event;
    event.kind = kind;
    event.kind_version = 2;
    event.command_id = uuid(200);
    event.actor = "operator:kim";
    event.payload.assign(payload.begin(), payload.end());
    return event;
}

/// `count` events for `stream`, which is at `expected`.
[[nodiscard]] inline Append append_to(const StreamId& stream, StreamSeq expected,
                                      std::size_t count = 1) {
    Append append;
    append.stream = stream;
    append.expected_stream_seq = expected;
    for (std::size_t i = 0; i < count; ++i)
        append.events.push_back(event("payload " + std::to_string(expected + i + 1)));
    return append;
}

[[nodiscard]] inline std::vector<Record> all_events(const EventLog& log, Seq from = 1) {
    std::vector<Record> records;
    const auto read = log.read(from, [&](const Record& record) {
        records.push_back(record);
        return true;
    });
    REQUIRE(read);
    return records;
}

[[nodiscard]] inline std::vector<Record> stream_events(const EventLog& log, const StreamId& stream,
                                                       StreamSeq from = 1) {
    std::vector<Record> records;
    const auto read = log.read_stream(stream, from, [&](const Record& record) {
        records.push_back(record);
        return true;
    });
    REQUIRE(read);
    return records;
}

}  // namespace drover::eventlog::testing
