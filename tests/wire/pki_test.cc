#include "wire/pki.h"

#include "tests/wire/parties.h"

#include <set>

#include <catch2/catch.hpp>

namespace drover::wire {
namespace {

constexpr WallMicros day_micros = 86'400'000'000;

TEST_CASE("pki: a certificate's identity is what its authority signed") {
    const parties::Parties parties;
    const auto server = verified_identity(parties.server.certificate_pem,
                                          parties.authority.certificate_pem, parties::now());
    REQUIRE(server.has_value());
    CHECK(*server == "drover:server");
    const auto agent = verified_identity(parties.source.certificate_pem,
                                         parties.authority.certificate_pem, parties::now());
    REQUIRE(agent.has_value());
    CHECK(*agent == "drover:agent:source");
}

TEST_CASE("pki: a certificate of another authority is refused") {
    const parties::Parties parties;
    const auto identity = verified_identity(parties.foreign.certificate_pem,
                                            parties.authority.certificate_pem, parties::now());
    REQUIRE_FALSE(identity.has_value());
    CHECK(identity.error().code() == Errc::denied);
}

TEST_CASE("pki: a certificate is refused before and after its time") {
    const parties::Parties parties;
    for (const WallMicros at : {parties::now() - day_micros, parties::now() + 366 * day_micros}) {
        const auto identity = verified_identity(parties.source.certificate_pem,
                                                parties.authority.certificate_pem, at);
        REQUIRE_FALSE(identity.has_value());
        CHECK(identity.error().code() == Errc::denied);
    }
}

TEST_CASE("pki: the authority itself is no party") {
    const parties::Parties parties;
    const auto identity = verified_identity(parties.authority.certificate_pem,
                                            parties.authority.certificate_pem, parties::now());
    CHECK_FALSE(identity.has_value());
}

TEST_CASE("pki: the name in a request is ignored; the caller says who it is") {
    const parties::Parties parties;
    const KeyAndRequest request = make_agent_request("admin").value();
    const auto certificate =
        issue_agent(parties.authority, request.request_pem, "web-01", {}, parties::now());
    REQUIRE(certificate.has_value());
    const auto identity =
        verified_identity(*certificate, parties.authority.certificate_pem, parties::now());
    REQUIRE(identity.has_value());
    CHECK(*identity == "drover:agent:web-01");
}

TEST_CASE("pki: a damaged request is refused") {
    const parties::Parties parties;
    KeyAndRequest request = make_agent_request("web-01").value();
    const auto end = request.request_pem.find("\n-----END");
    REQUIRE(end != std::string::npos);
    // In the last bytes of the base64 text stands the request's own signature.
    char& digit = request.request_pem[end - 12];
    digit = digit == 'A' ? 'B' : 'A';
    const auto certificate =
        issue_agent(parties.authority, request.request_pem, "web-01", {}, parties::now());
    REQUIRE_FALSE(certificate.has_value());
    CHECK(certificate.error().code() == Errc::invalid);
    CHECK_FALSE(
        issue_agent(parties.authority, "nonsense", "web-01", {}, parties::now()).has_value());
    CHECK_FALSE(
        issue_agent(parties.authority, std::string(1U << 20, 'x'), "web-01", {}, parties::now())
            .has_value());
}

TEST_CASE("pki: agent names and hosts that could become something else are refused") {
    const parties::Parties parties;
    const std::string request = make_agent_request("x").value().request_pem;
    for (const char* name : {"", "server/../x", "a,URI:drover:server", "UPPER"}) {
        CHECK_FALSE(issue_agent(parties.authority, request, name, {}, parties::now()).has_value());
    }
    for (const char* host : {"", "x,URI:drover:server", "a b", "-x"}) {
        const auto refused =
            issue_agent(parties.authority, request, "web-01", {host}, parties::now());
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().id() == "bad_host_name");
    }
}

TEST_CASE("pki: a signature holds for its bytes and its key only") {
    const SigningKey key = make_signing_key().value();
    const SigningKey other = make_signing_key().value();
    const Bytes message{1, 2, 3};
    Bytes signature = sign(key.key_pem, message).value();
    CHECK(verify_signature(key.public_pem, message, signature).has_value());
    const auto refuse = [](const Result<>& result) {
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().code() == Errc::denied);
    };
    refuse(verify_signature(key.public_pem, Bytes{1, 2, 4}, signature));
    refuse(verify_signature(other.public_pem, message, signature));
    refuse(verify_signature(key.public_pem, message, {}));
    signature[10] ^= 1;
    refuse(verify_signature(key.public_pem, message, signature));
    const auto nonsense = verify_signature("not a key", message, signature);
    REQUIRE_FALSE(nonsense.has_value());
    CHECK(nonsense.error().code() == Errc::invalid);
}

TEST_CASE("pki: an agent's key signs, and its certificate verifies") {
    const parties::Parties parties;
    const Bytes message{9, 9};
    const Bytes signature = sign(parties.source.key_pem, message).value();
    CHECK(verify_signature(parties.source.certificate_pem, message, signature).has_value());
    CHECK_FALSE(verify_signature(parties.target.certificate_pem, message, signature).has_value());
}

TEST_CASE("pki: a fingerprint is 64 hexadecimal digits and differs by certificate") {
    const parties::Parties parties;
    std::set<std::string> seen;
    for (const auto& pem : {parties.authority.certificate_pem, parties.server.certificate_pem,
                            parties.foreign_authority.certificate_pem}) {
        const std::string digest = fingerprint(pem).value();
        CHECK(Hash::from_hex_text(digest).has_value());
        seen.insert(digest);
    }
    CHECK(seen.size() == 3);
    CHECK_FALSE(fingerprint("nonsense").has_value());
}

}  // namespace
}  // namespace drover::wire
