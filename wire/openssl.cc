#include "wire/openssl.h"

#include "base/bytes.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace drover::wire {
namespace {

constexpr std::size_t pem_bytes_max = 64U << 10;

using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;

/// Without it OpenSSL would ask on the terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) {
    return -1;
}

}  // namespace

std::string openssl_reason() {
    const unsigned long code = ERR_peek_last_error();
    std::string reason = "unknown reason";
    if (const char* text = ERR_reason_error_string(code)) reason = text;
    ERR_clear_error();
    return reason;
}

Error openssl_error(std::string_view action) {
    return Error(Errc::invalid, "crypto_failed", std::string(action) + ": " + openssl_reason());
}

Result<BioPtr> pem_reader(std::string_view pem) {
    if (pem.size() > pem_bytes_max) return Error(Errc::invalid, "pem_too_large", "over 64 KiB");
    BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (!bio) return openssl_error("read PEM");
    return bio;
}

Result<CertificatePtr> certificate_from_pem(std::string_view pem) {
    TRY(const auto bio, pem_reader(pem));
    CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!certificate) return openssl_error("read a certificate");
    return certificate;
}

Result<KeyPtr> key_from_pem(std::string_view pem) {
    TRY(const auto bio, pem_reader(pem));
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (!key) return openssl_error("read a private key");
    return key;
}

Result<std::string> certificate_to_pem(X509* certificate) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) {
        return openssl_error("write a certificate");
    }
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
}

Result<std::string> identity_of(X509* certificate) {
    const NamesPtr names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    std::string identity;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_URI) continue;
        const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
        const std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                                    static_cast<std::size_t>(ASN1_STRING_length(uri)));
        if (!text.starts_with("drover:")) continue;
        if (!identity.empty()) {
            return Error(Errc::denied, "certificate_identity",
                         "the certificate has two identities");
        }
        identity = printable(text, 128);
    }
    if (identity.empty()) {
        return Error(Errc::denied, "certificate_identity", "the certificate names no drover party");
    }
    return identity;
}

Result<> must_be_ed25519(EVP_PKEY* key) {
    if (EVP_PKEY_is_a(key, "ED25519") == 1) return {};
    return Error(Errc::invalid, "wrong_key_type", "only Ed25519 keys are accepted");
}

}  // namespace drover::wire
