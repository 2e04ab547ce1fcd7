/// Owners and small helpers for OpenSSL objects, shared by pki.cc, pki_check.cc and the TLS code.
/// Include in .cc files only.
#pragma once

#include "base/result.h"

#include <memory>
#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace drover::wire {

template <auto release>
struct OpensslDeleter {
    template <class T>
    void operator()(T* object) const {
        release(object);
    }
};

using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpensslDeleter<X509_REQ_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslDeleter<SSL_free>>;

/// The newest entry of this thread's OpenSSL error queue in words; empties the queue.
[[nodiscard]] std::string openssl_reason();
/// Errc::invalid "crypto_failed" with openssl_reason().
[[nodiscard]] Error openssl_error(std::string_view action);

/// A reader over `pem`, which must outlive it. Errors: invalid when larger than 64 KiB.
[[nodiscard]] Result<BioPtr> pem_reader(std::string_view pem);

/// Errors: invalid. Never asks for a passphrase.
[[nodiscard]] Result<CertificatePtr> certificate_from_pem(std::string_view pem);
[[nodiscard]] Result<KeyPtr> key_from_pem(std::string_view pem);
[[nodiscard]] Result<std::string> certificate_to_pem(X509* certificate);

/// Errors: invalid (wrong_key_type).
[[nodiscard]] Result<> must_be_ed25519(EVP_PKEY* key);

/// The one URI SAN that begins with "drover:". Errors: denied when there is none or more than one.
[[nodiscard]] Result<std::string> identity_of(X509* certificate);

}  // namespace drover::wire
