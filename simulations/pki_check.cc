// The simulator's wire/pki.h: signatures by hash. Who holds which key is real, the mathematics is
// not, because a wave of a thousand jobs signs many thousand times. The forms:
//
//   key "key:NAME"   public "public:key:NAME"   certificate "certificate:NAME by AUTHORITY"
#include "base/sha256.h"
#include "wire/pki.h"

namespace drover::wire {
namespace {

constexpr std::string_view key_prefix = "key:";
constexpr std::string_view public_prefix = "public:";
constexpr std::string_view certificate_prefix = "certificate:";
constexpr std::string_view issued_by = " by ";

Error denied(const std::string& why) {
    return Error(Errc::denied, "signature_refused", why);
}

Bytes signature_of(std::string_view key, ByteView message) {
    Bytes text;
    put_bytes(text, as_bytes(key));
    put_bytes(text, sha256(message).view());
    const Hash hash = sha256(text);
    return Bytes(hash.data.begin(), hash.data.end());
}

/// The name that a certificate carries.
std::string_view name_in(std::string_view certificate) {
    certificate.remove_prefix(certificate_prefix.size());
    return certificate.substr(0, certificate.find(issued_by));
}

}  // namespace

Result<Bytes> sign(std::string_view key_pem, ByteView message) {
    return signature_of(key_pem, message);
}

Result<> verify_signature(std::string_view public_pem, ByteView message, ByteView signature) {
    std::string key;
    if (public_pem.starts_with(public_prefix)) key = public_pem.substr(public_prefix.size());
    if (public_pem.starts_with(certificate_prefix))
        key = std::string(key_prefix) + std::string(name_in(public_pem));
    const Bytes expected = signature_of(key, message);
    const bool same =
        std::equal(expected.begin(), expected.end(), signature.begin(), signature.end());
    if (key.empty() || !same) return denied("the signature is not by that key");
    return {};
}

Result<std::string> verified_identity(std::string_view certificate_pem,
                                      std::string_view authority_pem, WallMicros) {
    const std::string end = std::string(issued_by) + std::string(authority_pem);
    if (!certificate_pem.starts_with(certificate_prefix) || !certificate_pem.ends_with(end))
        return denied("not a certificate of that authority");
    return std::string(name_in(certificate_pem));
}

}  // namespace drover::wire
