/// Ed25519 signatures (RFC 8032) by OpenSSL, on raw keys: for what must be checked without the
/// network code. Keys are files in PEM, so that `openssl pkey` reads them. Thread-safe.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <string>
#include <string_view>

namespace drover {

using PublicKey = FixedBytes<32, struct PublicKeyTag>;
using Signature = FixedBytes<64, struct SignatureTag>;

/// SHA-256 of the key's DER form: what `openssl pkey -pubin -outform DER | sha256sum` prints.
[[nodiscard]] Hash key_fingerprint(const PublicKey& key);

/// PEM of a public key ("BEGIN PUBLIC KEY"). Errors: invalid (bad_public_key).
[[nodiscard]] Result<PublicKey> public_key_from_pem(std::string_view pem);
[[nodiscard]] std::string public_key_to_pem(const PublicKey& key);

[[nodiscard]] bool is_signed_by(const PublicKey& key, ByteView message, const Signature& signature);

/// A secret key. Its 32 bytes are all of it (the seed of RFC 8032).
class SigningSeed {
  public:
    /// From 32 random bytes.
    explicit SigningSeed(const Hash& seed)
        : seed_(seed) {}

    /// "BEGIN PRIVATE KEY". Errors: invalid (bad_signing_key).
    [[nodiscard]] static Result<SigningSeed> from_pem(std::string_view pem);
    [[nodiscard]] std::string to_pem() const;

    [[nodiscard]] PublicKey public_key() const;
    /// The same message always gets the same signature.
    [[nodiscard]] Signature sign(ByteView message) const;

  private:
    Hash seed_;
};

}  // namespace drover
