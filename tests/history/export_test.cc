// The lines of an export: written, read back, refused when they are not as written.
#include "base/file.h"
#include "base/sha256.h"
#include "eventlog/merkle.h"
#include "history/export_file.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include <unistd.h>

namespace {

using namespace drover;
using namespace drover::history;

Hash hash_of(const std::string& text) {
    return sha256(as_bytes(text));
}

std::vector<Hash> some_hashes(std::size_t count) {
    std::vector<Hash> hashes;
    for (std::size_t i = 0; i < count; ++i) hashes.push_back(hash_of(std::to_string(i)));
    return hashes;
}

/// The root by the letter of RFC 6962 section 2.1.
Hash defined_root(std::span<const Hash> hashes) {
    Bytes input{static_cast<std::uint8_t>(hashes.size() == 1 ? 0 : 1)};
    if (hashes.size() == 1) {
        put_bytes(input, hashes.front().view());
        return sha256(input);
    }
    std::size_t left = 1;
    while (left * 2 < hashes.size()) left *= 2;
    put_bytes(input, defined_root(hashes.first(left)).view());
    put_bytes(input, defined_root(hashes.subspan(left)).view());
    return sha256(input);
}

eventlog::Record some_record() {
    eventlog::Record record;
    record.seq = 7;
    record.stream = {eventlog::StreamKind::job, *Uuid::from(hash_of("job").view().first(16))};
    record.stream_seq = 3;
    record.kind = 1;
    record.kind_version = 1;
    record.wall_micros = -5;
    record.actor = "operator:<b>&";
    record.payload = {0, 1, 2, 255};
    record.hash = eventlog::record_hash(record);
    return record;
}

eventlog::Anchor some_anchor() {
    eventlog::Anchor anchor;
    anchor.lineage = *Uuid::from(hash_of("lineage").view().first(16));
    anchor.first_seq = 5;
    anchor.last_seq = 1000;
    anchor.last_hash = hash_of("last");
    anchor.merkle_root = hash_of("root");
    anchor.epoch = 4;
    anchor.wall_micros = 1'234'567;
    anchor.previous = hash_of("previous");
    eventlog::sign_anchor(anchor, SigningSeed(hash_of("seed")));
    return anchor;
}

ExportHeader some_header() {
    ExportHeader header;
    header.lineage = some_anchor().lineage;
    header.job = some_record().stream.id;
    header.job_name = "</script><b>\"&";
    header.head_seq = UINT64_MAX;
    header.head_hash = hash_of("head");
    header.events = 12;
    header.key = some_anchor().key;
    header.software = "drover";
    header.wall_micros = -1;
    return header;
}

std::vector<ExportLine> some_lines() {
    const Bytes stored = eventlog::encode_record(some_record());
    return {some_header(), some_anchor(), ExportEvent{stored, 1000, some_hashes(10)},
            ExportEnd{12, hash_of("digest"), some_anchor().signature}};
}

/// Removed at the end of the test.
struct ScratchFile {
    explicit ScratchFile(const std::string& contents) {
        REQUIRE(write_file_durably(path, as_bytes(contents)).has_value());
    }

    ~ScratchFile() { std::filesystem::remove(path); }

    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("drover-export-" + std::to_string(::getpid()));
};

}  // namespace

TEST_CASE("export: every line reads back as what was written") {
    for (const ExportLine& line : some_lines()) {
        std::string text = export_line(line);
        REQUIRE(text.back() == '\n');
        text.pop_back();
        INFO(text);
        CHECK(text.find_first_of("\n<>&") == std::string::npos);
        const auto back = parse_export_line(text);
        REQUIRE(back.has_value());
        CHECK(*back == line);
    }
}

TEST_CASE("export: a line without a member, or with a wrong one, is refused") {
    for (const ExportLine& line : some_lines()) {
        const std::string text = export_line(line);
        for (std::size_t cut = 0; cut + 1 < text.size(); cut += 7)
            CHECK_FALSE(parse_export_line(text.substr(0, cut)).has_value());
        const std::size_t member = text.find("\":", 12);
        std::string renamed = text;
        renamed[member - 1] = '~';
        CHECK_FALSE(parse_export_line(renamed).has_value());
    }
    CHECK(parse_export_line(R"({"export":{"format":"drover-export","version":2}})").error().id() ==
          "export_unsupported");
}

TEST_CASE("export: the place that a line shows is the place of its record") {
    std::string text = export_line(some_lines()[2]);
    text.replace(text.find("\"seq\":7"), 7, "\"seq\":8");
    CHECK(parse_export_line(text).error().id() == "export_line_damaged");
}

TEST_CASE("export: a file gives its lines, and a cut one is noticed") {
    std::string text;
    for (const ExportLine& line : some_lines()) text += export_line(line);
    const auto read = [](const std::string& contents) {
        const ScratchFile file(contents);
        std::vector<ExportLine> lines;
        const auto done = read_export(file.path, [&](const ExportLine& line) -> Result<bool> {
            lines.push_back(line);
            return true;
        });
        if (!done) lines.clear();
        return lines;
    };
    CHECK(read(text) == some_lines());
    CHECK(read(text.substr(0, text.size() - 1)).empty());
    const std::string page = "<!DOCTYPE html>\n<p>\n" + std::string(pack_export_begin) + "\n" +
                             text + std::string(pack_export_end) + "\n</html>\n";
    CHECK(read(page) == some_lines());
    CHECK(read(page.substr(0, page.size() - 60)).empty());
    CHECK(read("<!DOCTYPE html>\n").empty());
}

TEST_CASE("merkle: every event's path leads to the root, and no other path does") {
    for (std::size_t size = 1; size <= 70; ++size) {
        const auto hashes = some_hashes(size);
        const eventlog::MerkleTree tree(hashes);
        const Hash root = tree.root();
        REQUIRE(root == defined_root(hashes));
        for (std::size_t i = 0; i < size; ++i) {
            auto path = tree.path(i);
            REQUIRE(eventlog::merkle_root_from(hashes[i], i, size, path) == root);
            CHECK(eventlog::merkle_root_from(hash_of("x"), i, size, path) != root);
            if (i + 1 < size)
                CHECK(eventlog::merkle_root_from(hashes[i], i + 1, size, path) != root);
            path.push_back(root);
            CHECK_FALSE(eventlog::merkle_root_from(hashes[i], i, size, path));
            path.resize(path.size() - 1);
            if (path.empty()) continue;
            auto changed = path;
            changed.back().data[0] ^= 1;
            CHECK(eventlog::merkle_root_from(hashes[i], i, size, changed) != root);
            path.pop_back();
            CHECK_FALSE(eventlog::merkle_root_from(hashes[i], i, size, path));
        }
    }
}

TEST_CASE("merkle: roots are those of RFC 6962") {
    // SHA-256 of nothing, and of 0x00 followed by the 32 bytes.
    CHECK(eventlog::MerkleTree({}).root().hex() ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Bytes leaf{0};
    put_bytes(leaf, hash_of("0").view());
    CHECK(eventlog::MerkleTree(some_hashes(1)).root() == sha256(leaf));
}

TEST_CASE("ed25519: keys survive PEM, and signatures are those of RFC 8032") {
    // RFC 8032 section 7.1, test 2.
    const auto secret =
        Hash::from_hex_text("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    REQUIRE(secret.has_value());
    const SigningSeed seed(*secret);
    CHECK(seed.public_key().hex() ==
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    const Bytes message{0x72};
    CHECK(seed.sign(message).hex() ==
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    CHECK(is_signed_by(seed.public_key(), message, seed.sign(message)));
    CHECK_FALSE(is_signed_by(seed.public_key(), {}, seed.sign(message)));
    const auto again = SigningSeed::from_pem(seed.to_pem());
    REQUIRE(again.has_value());
    CHECK(again->public_key() == seed.public_key());
    const auto public_key = public_key_from_pem(public_key_to_pem(seed.public_key()));
    REQUIRE(public_key.has_value());
    CHECK(*public_key == seed.public_key());
    CHECK_FALSE(SigningSeed::from_pem(public_key_to_pem(seed.public_key())).has_value());
    CHECK_FALSE(
        public_key_from_pem("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n").has_value());
}

TEST_CASE("anchor: any changed field breaks its signature") {
    using eventlog::Anchor;
    REQUIRE(eventlog::check_anchor(some_anchor()).has_value());
    const std::vector<void (*)(Anchor&)> changes{[](Anchor& a) { a.lineage.data[0] ^= 1; },
                                                 [](Anchor& a) { ++a.first_seq; },
                                                 [](Anchor& a) { --a.last_seq; },
                                                 [](Anchor& a) { a.last_hash.data[0] ^= 1; },
                                                 [](Anchor& a) { a.merkle_root.data[0] ^= 1; },
                                                 [](Anchor& a) { ++a.epoch; },
                                                 [](Anchor& a) { ++a.wall_micros; },
                                                 [](Anchor& a) { a.previous.data[0] ^= 1; },
                                                 [](Anchor& a) { a.key.data[0] ^= 1; },
                                                 [](Anchor& a) { a.signature.data[0] ^= 1; }};
    for (const auto change : changes) {
        Anchor anchor = some_anchor();
        change(anchor);
        CHECK_FALSE(eventlog::check_anchor(anchor).has_value());
    }
}
