#include "wire/tls_context.h"

#include "base/bytes.h"
#include "wire/openssl.h"

#include <openssl/err.h>

namespace drover::wire {
namespace {

constexpr const char* ciphersuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr long certificate_list_bytes_max = 16L << 10;

Result<> use_certificate(SSL_CTX* context, const TlsIdentity& identity) {
    if (identity.certificate_pem.empty()) return {};
    TRY(const auto certificate, certificate_from_pem(identity.certificate_pem));
    TRY(const auto key, key_from_pem(identity.key_pem));
    if (SSL_CTX_use_certificate(context, certificate.get()) != 1 ||
        SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return openssl_error("use a certificate and its key");
    }
    return {};
}

Result<> trust_authority(SSL_CTX* context, const TlsIdentity& identity, TlsMode mode) {
    if (mode == TlsMode::pinned_client) return {};
    TRY(const auto authority, certificate_from_pem(identity.authority_pem));
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1) {
        return openssl_error("trust the authority");
    }
    if (mode == TlsMode::open_server && SSL_CTX_add1_chain_cert(context, authority.get()) != 1) {
        return openssl_error("send the authority along");
    }
    return {};
}

int verify_flags(TlsMode mode) {
    switch (mode) {
        case TlsMode::client:
            return SSL_VERIFY_PEER;
        case TlsMode::mutual_server:
            return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        case TlsMode::open_server:
        case TlsMode::pinned_client:
            return SSL_VERIFY_NONE;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

/// Alerts by which a peer says that it does not accept our certificate.
bool is_certificate_alert(int reason) {
    switch (reason) {
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return true;
        default:
            return false;  // Reasons of OpenSSL, not an enumeration of ours.
    }
}

}  // namespace

void TlsContextDeleter::operator()(ssl_ctx_st* context) const {
    SSL_CTX_free(context);
}

Result<TlsContextPtr> make_tls_context(const TlsIdentity& identity, TlsMode mode) {
    TlsContextPtr context(SSL_CTX_new(TLS_method()));
    SSL_CTX* raw = context.get();
    if (raw == nullptr || SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(raw, ciphersuites) != 1 ||
        SSL_CTX_set1_groups_list(raw, "X25519:P-256") != 1) {
        return openssl_error("prepare TLS 1.3");
    }
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(raw, 0);
    SSL_CTX_set_max_early_data(raw, 0);
    SSL_CTX_set_max_cert_list(raw, certificate_list_bytes_max);
    SSL_CTX_set_verify(raw, verify_flags(mode), nullptr);
    // Our authority signs leaves directly; a longer chain is not ours.
    SSL_CTX_set_verify_depth(raw, 0);
    TRY_VOID(use_certificate(raw, identity));
    TRY_VOID(trust_authority(raw, identity, mode));
    return context;
}

Result<std::string> checked_peer(ssl_st* ssl, std::string_view expected) {
    const CertificatePtr certificate(SSL_get1_peer_certificate(ssl));
    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) {
        return Error(Errc::denied, "certificate_not_accepted", "the peer has no valid certificate");
    }
    TRY(auto identity, identity_of(certificate.get()));
    if (!expected.empty() && identity != expected) {
        return Error(Errc::denied, "unexpected_peer",
                     "expected " + printable(expected, 128) + ", found " + identity,
                     "nothing was sent", "check the address and who listens there");
    }
    return identity;
}

Error tls_error(ssl_st* ssl, std::string_view action) {
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    return tls_error_from(ssl, code, action);
}

Error tls_error_from(ssl_st* ssl, unsigned long code, std::string_view action) {
    const int reason = ERR_GET_REASON(code);
    const long verified = SSL_get_verify_result(ssl);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        return Error(Errc::denied, "certificate_not_accepted",
                     std::string("the peer's certificate is not accepted: ") +
                         X509_verify_cert_error_string(verified),
                     "nothing was sent", "enrol both ends with the same authority");
    }
    const char* words = ERR_reason_error_string(code);
    const std::string text =
        std::string(action) + ": " + (words == nullptr ? "unknown reason" : words);
    if (is_certificate_alert(reason)) {
        return Error(Errc::denied, "certificate_refused", text, "nothing was sent",
                     "enrol both ends with the same authority");
    }
    return Error(Errc::unavailable, "tls_failed", text);
}

}  // namespace drover::wire
