#include "base/bytes.h"
#include "base/file.h"
#include "base/random.h"
#include "base/result.h"
#include "base/sha256.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

namespace drover {
namespace {

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern = "/tmp/drover-base-test.XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }

    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

Result<int> half_of(int value) {
    if (value % 2 != 0) return Error(Errc::invalid, "odd", "not even");
    return value / 2;
}

Result<int> quarter_of(int value) {
    TRY(const int half, half_of(value));
    return half_of(half);
}

}  // namespace

TEST_CASE("result: TRY passes the value on and the error up") {
    CHECK(quarter_of(8).value() == 2);
    CHECK(quarter_of(6).error().id() == "odd");
}

TEST_CASE("error: its text names what is kept and what to do next") {
    const Error error(Errc::io, "disk_gone", "vdb vanished", "the copy so far", "attach it again");
    CHECK(error.text() ==
          "disk_gone: vdb vanished (kept: the copy so far) (next: attach it again)");
}

TEST_CASE("bytes: hexadecimal and base64 round-trip and refuse what is not theirs") {
    SeededRandom random(7);
    for (std::size_t length = 0; length < 70; ++length) {
        Bytes bytes(length);
        random.fill(bytes);
        CHECK(from_hex(to_hex(bytes)) == bytes);
        CHECK(from_base64(to_base64(bytes)) == bytes);
    }
    CHECK(to_base64(as_bytes("foob")) == "Zm9vYg==");
    CHECK_FALSE(from_hex("abc").has_value());
    CHECK_FALSE(from_hex("zz").has_value());
    CHECK_FALSE(from_base64("Zm9vYg=").has_value());
    CHECK_FALSE(from_base64("Z===").has_value());
    CHECK_FALSE(from_base64("Zm=v").has_value());
}

TEST_CASE("bytes: CRC-32C and SHA-256 give the published check values") {
    CHECK(crc32c(as_bytes("123456789")) == 0xe3069283U);
    CHECK(sha256(as_bytes("abc")).hex() ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("bytes: a UUID's text form round-trips and its shape is checked") {
    SeededRandom random(1);
    const Uuid uuid = random.uuid();
    CHECK(uuid_from_text(uuid_text(uuid)) == uuid);
    CHECK_FALSE(uuid_from_text(uuid.hex()).has_value());
    CHECK_FALSE(uuid_from_text("g" + uuid_text(uuid).substr(1)).has_value());
}

TEST_CASE("bytes: a name is safe in a path, a URL and a certificate") {
    CHECK(valid_name("web-01"));
    for (const char* bad : {"", "-a", "a-", "A", "a/b", "a.b", "a b", "..", "ä"})
        CHECK_FALSE(valid_name(bad));
    CHECK_FALSE(valid_name(std::string(64, 'a')));
}

TEST_CASE("random: the same seed gives the same bytes, below() stays below") {
    SeededRandom first(42);
    SeededRandom second(42);
    CHECK(first.uuid() == second.uuid());
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(first.below(10));
    CHECK(seen.size() == 10);
    CHECK(*seen.rbegin() == 9);
}

TEST_CASE("file: a durable write replaces the whole file and keeps its mode") {
    const TemporaryDirectory directory;
    const auto path = directory / "state";
    REQUIRE(write_file_durably(path, as_bytes("a longer first version")));
    REQUIRE(write_file_durably(path, as_bytes("second"), 0640));
    CHECK(read_text(path).value() == "second");

    struct stat status {};

    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0640);
    CHECK_FALSE(std::filesystem::exists(path.native() + ".new"));
}

TEST_CASE("file: errors say what the caller can do") {
    const TemporaryDirectory directory;
    CHECK(read_file(directory / "absent").error().code() == Errc::not_found);
    REQUIRE(write_file_durably(directory / "big", Bytes(100)));
    CHECK(read_file(directory / "big", 10).error().code() == Errc::invalid);
    CHECK(remove_file_durably(directory / "absent"));
    CHECK(errno_error(ENOSPC, "write", "/x").code() == Errc::unavailable);
}

}  // namespace drover
