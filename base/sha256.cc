#include "base/sha256.h"

#include "base/assert.h"

#include <openssl/evp.h>

namespace drover {

namespace {

/// Looked up once: OpenSSL 3 searches its providers anew for every EVP_sha256().
const EVP_MD* algorithm() {
    static const EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    DROVER_ASSERT(found != nullptr);
    return found;
}

}  // namespace

struct Sha256::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();

    State() { start(); }

    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() { EVP_MD_CTX_free(context); }

    void start() {
        DROVER_ASSERT(context != nullptr);
        DROVER_ASSERT(EVP_DigestInit_ex2(context, algorithm(), nullptr) == 1);
    }
};

Sha256::Sha256()
    : state_(std::make_unique<State>()) {}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(ByteView bytes) {
    DROVER_ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
    return *this;
}

Hash Sha256::finish() {
    Hash hash;
    unsigned length = 0;
    DROVER_ASSERT(EVP_DigestFinal_ex(state_->context, hash.data.data(), &length) == 1);
    DROVER_ASSERT(length == hash.data.size());
    state_->start();
    return hash;
}

Hash sha256(ByteView bytes) {
    static thread_local Sha256 hasher;
    return hasher.update(bytes).finish();
}

}  // namespace drover
