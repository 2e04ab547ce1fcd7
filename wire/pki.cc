#include "wire/pki.h"

#include "base/sha256.h"
#include "wire/identity.h"
#include "wire/openssl.h"

#include <array>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

namespace drover::wire {
namespace {

using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, OpensslDeleter<EVP_PKEY_CTX_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDeleter<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;

constexpr std::int64_t day_s = 86400;
constexpr std::int64_t authority_days = 3653;
constexpr std::int64_t leaf_days = 365;
/// Certificates begin to be valid a little in the past: hosts' clocks differ.
constexpr std::int64_t skew_s = 3600;
constexpr std::size_t hosts_max = 32;

Result<std::string> text_of(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    if (size <= 0) return openssl_error("write PEM");
    return std::string(data, static_cast<std::size_t>(size));
}

Result<KeyPtr> new_key() {
    KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    if (!key) return openssl_error("make a key");
    return key;
}

Result<std::string> key_to_pem(EVP_PKEY* key) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio ||
        PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return openssl_error("write a private key");
    }
    return text_of(bio.get());
}

Result<> set_name(X509_NAME* name, std::string_view common_name) {
    if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(common_name.data()),
                                   static_cast<int>(common_name.size()), -1, 0) != 1) {
        return openssl_error("set a certificate's name");
    }
    return {};
}

/// A subject alternative name. Built as an object, never from a configuration string: a host name
/// with a comma must not become a second entry.
Result<> add_name(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    if (name == nullptr || value == nullptr) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return openssl_error("make a subject name");
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return openssl_error("make a subject name");
    }
    return {};
}

Result<> add_text_name(GENERAL_NAMES* names, int type, std::string_view text) {
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    if (value != nullptr) ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
    return add_name(names, type, value);
}

bool is_dns_name(std::string_view host) {
    if (host.empty() || host.size() > 253 || host.front() == '-' || host.front() == '.')
        return false;
    return host.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
           std::string_view::npos;
}

Result<> add_host(GENERAL_NAMES* names, const std::string& host) {
    std::array<unsigned char, 16> address{};
    int size = 0;
    if (inet_pton(AF_INET, host.c_str(), address.data()) == 1) size = 4;
    if (size == 0 && inet_pton(AF_INET6, host.c_str(), address.data()) == 1) size = 16;
    if (size != 0) {
        ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
        if (value != nullptr) ASN1_OCTET_STRING_set(value, address.data(), size);
        return add_name(names, GEN_IPADD, value);
    }
    if (!is_dns_name(host)) {
        return Error(Errc::invalid, "bad_host_name",
                     "not a host name or an address: " + printable(host, 80), "",
                     "name hosts by DNS name, IPv4 or IPv6 address");
    }
    return add_text_name(names, GEN_DNS, host);
}

Result<> add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
        return openssl_error("add a certificate extension");
    }
    return {};
}

Result<> set_random_serial(X509* certificate) {
    std::array<unsigned char, 16> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
        return openssl_error("draw a serial number");
    }
    bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // Positive and never zero.
    const NumberPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    if (!number ||
        BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
        return openssl_error("set a serial number");
    }
    return {};
}

/// A version 3 certificate with names, times, key and the extensions every certificate of ours has.
Result<CertificatePtr> new_certificate(std::string_view common_name, EVP_PKEY* key, X509* issuer,
                                       std::int64_t days, WallMicros now_micros) {
    CertificatePtr certificate(X509_new());
    if (!certificate || X509_set_version(certificate.get(), X509_VERSION_3) != 1) {
        return openssl_error("make a certificate");
    }
    TRY_VOID(set_random_serial(certificate.get()));
    const std::int64_t now_s = now_micros / 1'000'000;
    if (ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now_s - skew_s) == nullptr ||
        ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now_s + days * day_s) == nullptr) {
        return openssl_error("set a certificate's times");
    }
    TRY_VOID(set_name(X509_get_subject_name(certificate.get()), common_name));
    X509* signer = issuer == nullptr ? certificate.get() : issuer;
    if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) != 1 ||
        X509_set_pubkey(certificate.get(), key) != 1) {
        return openssl_error("fill a certificate");
    }
    TRY_VOID(add_extension(certificate.get(), signer, NID_subject_key_identifier, "hash"));
    TRY_VOID(
        add_extension(certificate.get(), signer, NID_authority_key_identifier, "keyid:always"));
    return certificate;
}

struct Authority {
    CertificatePtr certificate;
    KeyPtr key;
};

Result<Authority> authority_from(const KeyAndCertificate& pem) {
    TRY(auto certificate, certificate_from_pem(pem.certificate_pem));
    TRY(auto key, key_from_pem(pem.key_pem));
    if (X509_check_private_key(certificate.get(), key.get()) != 1) {
        return openssl_error("match the authority's key and certificate");
    }
    return Authority{std::move(certificate), std::move(key)};
}

Result<std::string> issue_leaf(const Authority& authority, EVP_PKEY* key,
                               std::string_view common_name, std::string_view identity,
                               const std::vector<std::string>& hosts, WallMicros now_micros) {
    if (hosts.size() > hosts_max) {
        return Error(Errc::invalid, "too_many_hosts", "a certificate names at most 32 hosts");
    }
    TRY(const auto certificate,
        new_certificate(common_name, key, authority.certificate.get(), leaf_days, now_micros));
    X509* issuer = authority.certificate.get();
    X509* leaf = certificate.get();
    TRY_VOID(add_extension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE"));
    TRY_VOID(add_extension(leaf, issuer, NID_key_usage, "critical,digitalSignature"));
    TRY_VOID(add_extension(leaf, issuer, NID_ext_key_usage, "serverAuth,clientAuth"));
    const NamesPtr names(GENERAL_NAMES_new());
    if (!names) return openssl_error("make subject names");
    TRY_VOID(add_text_name(names.get(), GEN_URI, identity));
    for (const std::string& host : hosts) TRY_VOID(add_host(names.get(), host));
    if (X509_add1_ext_i2d(leaf, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
        return openssl_error("add subject names");
    }
    if (X509_sign(leaf, authority.key.get(), nullptr) == 0) return openssl_error("sign");
    return certificate_to_pem(leaf);
}

}  // namespace

Result<KeyAndCertificate> create_authority(std::string_view common_name, WallMicros now_micros) {
    TRY(const auto key, new_key());
    TRY(const auto certificate,
        new_certificate(common_name, key.get(), nullptr, authority_days, now_micros));
    X509* self = certificate.get();
    TRY_VOID(add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    TRY_VOID(add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
    if (X509_sign(self, key.get(), nullptr) == 0) return openssl_error("sign the authority");
    TRY(auto key_pem, key_to_pem(key.get()));
    TRY(auto certificate_pem, certificate_to_pem(self));
    return KeyAndCertificate{std::move(key_pem), std::move(certificate_pem)};
}

Result<KeyAndCertificate> issue_server(const KeyAndCertificate& authority,
                                       const std::vector<std::string>& hosts,
                                       WallMicros now_micros) {
    TRY(const auto issuer, authority_from(authority));
    TRY(const auto key, new_key());
    TRY(auto certificate_pem,
        issue_leaf(issuer, key.get(), "drover server", server_identity, hosts, now_micros));
    TRY(auto key_pem, key_to_pem(key.get()));
    return KeyAndCertificate{std::move(key_pem), std::move(certificate_pem)};
}

Result<KeyAndRequest> make_agent_request(std::string_view agent) {
    TRY(const auto key, new_key());
    const RequestPtr request(X509_REQ_new());
    if (!request) return openssl_error("make a certificate request");
    TRY_VOID(set_name(X509_REQ_get_subject_name(request.get()), agent));
    if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
        X509_REQ_sign(request.get(), key.get(), nullptr) == 0) {
        return openssl_error("sign a certificate request");
    }
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
        return openssl_error("write a certificate request");
    }
    TRY(auto request_pem, text_of(bio.get()));
    TRY(auto key_pem, key_to_pem(key.get()));
    return KeyAndRequest{std::move(key_pem), std::move(request_pem)};
}

Result<std::string> issue_agent(const KeyAndCertificate& authority, std::string_view request_pem,
                                std::string_view agent, const std::vector<std::string>& hosts,
                                WallMicros now_micros) {
    if (!valid_name(agent)) {
        return Error(Errc::invalid, "bad_agent_name", "not an agent name: " + printable(agent, 80));
    }
    TRY(const auto bio, pem_reader(request_pem));
    const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
    if (!request) return openssl_error("read a certificate request");
    EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
    if (key == nullptr) return openssl_error("read the key of a certificate request");
    TRY_VOID(must_be_ed25519(key));
    if (X509_REQ_verify(request.get(), key) != 1) {
        return openssl_error("check the signature of a certificate request");
    }
    TRY(const auto issuer, authority_from(authority));
    const std::string name(agent);
    return issue_leaf(issuer, key, name, agent_identity(name), hosts, now_micros);
}

Result<std::string> fingerprint(std::string_view certificate_pem) {
    TRY(const auto certificate, certificate_from_pem(certificate_pem));
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    if (size <= 0) return openssl_error("encode a certificate");
    const Hash digest = sha256(ByteView(der, static_cast<std::size_t>(size)));
    OPENSSL_free(der);
    return digest.hex();
}

Result<SigningKey> make_signing_key() {
    TRY(const auto key, new_key());
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) {
        return openssl_error("write a public key");
    }
    TRY(auto public_pem, text_of(bio.get()));
    TRY(auto key_pem, key_to_pem(key.get()));
    return SigningKey{std::move(key_pem), std::move(public_pem)};
}

}  // namespace drover::wire
