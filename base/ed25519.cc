#include "base/ed25519.h"

#include "base/assert.h"
#include "base/sha256.h"

#include <memory>
#include <optional>

#include <openssl/evp.h>

namespace drover {

namespace {

struct KeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

struct ContextDeleter {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

using KeyPtr = std::unique_ptr<EVP_PKEY, KeyDeleter>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, ContextDeleter>;

// RFC 8410: for Ed25519 everything before the 32 bytes of the key is constant, so DER needs no
// parser and a key has exactly one form.
constexpr std::string_view public_prefix_hex = "302a300506032b6570032100";
constexpr std::string_view secret_prefix_hex = "302e020100300506032b657004220420";
constexpr std::size_t pem_bytes_max = 4096;

Bytes der_of(std::string_view prefix_hex, ByteView key) {
    auto der = from_hex(prefix_hex);
    DROVER_ASSERT(der.has_value());
    put_bytes(*der, key);
    return *std::move(der);
}

std::string pem_of(const std::string& label, const Bytes& der) {
    // 48 bytes at most: one line of base64.
    return "-----BEGIN " + label + "-----\n" + to_base64(der) + "\n-----END " + label + "-----\n";
}

/// The 32 bytes behind `prefix_hex` in the PEM block called `label`.
std::optional<Hash> key_in(std::string_view pem, const std::string& label,
                           std::string_view prefix_hex) {
    if (pem.size() > pem_bytes_max) return std::nullopt;
    const std::string begin = "-----BEGIN " + label + "-----";
    const std::size_t start = pem.find(begin);
    const std::size_t end = pem.find("-----END " + label + "-----");
    if (start == std::string_view::npos || end == std::string_view::npos ||
        end < start + begin.size())
        return std::nullopt;
    std::string text;
    for (const char c : pem.substr(start + begin.size(), end - start - begin.size()))
        if (c != '\n' && c != '\r') text.push_back(c);
    const auto der = from_base64(text);
    const auto prefix = from_hex(prefix_hex);
    DROVER_ASSERT(prefix.has_value());
    if (!der || der->size() != prefix->size() + 32) return std::nullopt;
    if (!std::equal(prefix->begin(), prefix->end(), der->begin())) return std::nullopt;
    return Hash::from(ByteView(*der).subspan(prefix->size()));
}

KeyPtr native(const Hash& seed) {
    KeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data.data(),
                                            seed.data.size()));
    DROVER_ASSERT(key != nullptr);  // Every 32 bytes are a key; only memory can be missing.
    return key;
}

}  // namespace

Hash key_fingerprint(const PublicKey& key) {
    return sha256(der_of(public_prefix_hex, key.view()));
}

Result<PublicKey> public_key_from_pem(std::string_view pem) {
    const auto raw = key_in(pem, "PUBLIC KEY", public_prefix_hex);
    const auto key = raw ? PublicKey::from(raw->view()) : std::nullopt;
    if (key) return *key;
    return Error(Errc::invalid, "bad_public_key", "this is no PEM of an Ed25519 public key",
                 "nothing was changed", "give the anchor.pub of the server's state directory");
}

std::string public_key_to_pem(const PublicKey& key) {
    return pem_of("PUBLIC KEY", der_of(public_prefix_hex, key.view()));
}

bool is_signed_by(const PublicKey& key, ByteView message, const Signature& signature) {
    const KeyPtr native_key(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data.data(), key.data.size()));
    const ContextPtr context(EVP_MD_CTX_new());
    if (!native_key || !context) return false;
    return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, native_key.get()) == 1 &&
           EVP_DigestVerify(context.get(), signature.data.data(), signature.data.size(),
                            message.data(), message.size()) == 1;
}

Result<SigningSeed> SigningSeed::from_pem(std::string_view pem) {
    const auto seed = key_in(pem, "PRIVATE KEY", secret_prefix_hex);
    if (seed) return SigningSeed(*seed);
    return Error(Errc::invalid, "bad_signing_key", "this is no PEM of an Ed25519 private key",
                 "the event log and every anchor", "restore anchor.key from its backup");
}

std::string SigningSeed::to_pem() const {
    return pem_of("PRIVATE KEY", der_of(secret_prefix_hex, seed_.view()));
}

PublicKey SigningSeed::public_key() const {
    PublicKey key;
    std::size_t size = key.data.size();
    const int got = EVP_PKEY_get_raw_public_key(native(seed_).get(), key.data.data(), &size);
    DROVER_ASSERT(got == 1 && size == key.data.size());
    return key;
}

Signature SigningSeed::sign(ByteView message) const {
    const KeyPtr key = native(seed_);
    const ContextPtr context(EVP_MD_CTX_new());
    DROVER_ASSERT(context != nullptr);
    Signature signature;
    std::size_t size = signature.data.size();
    const bool is_signed =
        EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
        EVP_DigestSign(context.get(), signature.data.data(), &size, message.data(),
                       message.size()) == 1;
    DROVER_ASSERT(is_signed && size == signature.data.size());
    return signature;
}

}  // namespace drover
