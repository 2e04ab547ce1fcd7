// What of pki.h is used in every session: signatures and the names in certificates. In a file of
// its own, because the simulator has other ones in their place.
#include "base/assert.h"
#include "wire/openssl.h"
#include "wire/pki.h"

#include <openssl/pem.h>

namespace drover::wire {
namespace {

using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, OpensslDeleter<EVP_MD_CTX_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslDeleter<X509_STORE_CTX_free>>;

constexpr std::size_t signature_bytes = 64;

/// The public key of a PEM public key or certificate.
Result<KeyPtr> public_key_from(std::string_view pem) {
    if (pem.find("BEGIN CERTIFICATE") != std::string_view::npos) {
        TRY(const auto certificate, certificate_from_pem(pem));
        KeyPtr key(X509_get_pubkey(certificate.get()));
        if (!key) return openssl_error("read a certificate's key");
        return key;
    }
    TRY(const auto bio, pem_reader(pem));
    KeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    if (!key) return openssl_error("read a public key");
    return key;
}

}  // namespace

Result<std::string> verified_identity(std::string_view certificate_pem,
                                      std::string_view authority_pem, WallMicros now_micros) {
    TRY(const auto certificate, certificate_from_pem(certificate_pem));
    TRY(const auto authority, certificate_from_pem(authority_pem));
    const StorePtr store(X509_STORE_new());
    const StoreContextPtr context(X509_STORE_CTX_new());
    if (!store || !context || X509_STORE_add_cert(store.get(), authority.get()) != 1 ||
        X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1) {
        return openssl_error("prepare to check a certificate");
    }
    X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_time(parameters, now_micros / 1'000'000);
    X509_VERIFY_PARAM_set_depth(parameters, 0);  // Our authority signs leaves directly.
    if (X509_verify_cert(context.get()) != 1) {
        const int reason = X509_STORE_CTX_get_error(context.get());
        return Error(Errc::denied, "certificate_not_accepted",
                     std::string("the certificate is not accepted: ") +
                         X509_verify_cert_error_string(reason));
    }
    return identity_of(certificate.get());
}

Result<Bytes> sign(std::string_view key_pem, ByteView message) {
    TRY(const auto key, key_from_pem(key_pem));
    TRY_VOID(must_be_ed25519(key.get()));
    const DigestContextPtr context(EVP_MD_CTX_new());
    Bytes signature(signature_bytes);
    std::size_t size = signature.size();
    if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
        EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) !=
            1) {
        return openssl_error("sign");
    }
    DROVER_ASSERT(size == signature.size());
    return signature;
}

Result<> verify_signature(std::string_view public_pem, ByteView message, ByteView signature) {
    TRY(const auto key, public_key_from(public_pem));
    TRY_VOID(must_be_ed25519(key.get()));
    const DigestContextPtr context(EVP_MD_CTX_new());
    if (!context ||
        EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) {
        return openssl_error("prepare to check a signature");
    }
    if (signature.size() != signature_bytes ||
        EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                         message.size()) != 1) {
        (void)openssl_reason();  // Empties the queue; the reason is always the same.
        return Error(Errc::denied, "bad_signature", "the signature does not belong to these bytes");
    }
    return {};
}
}  // namespace drover::wire
