#include "base/random.h"

#include <cerrno>

#include <sys/random.h>

#include "base/assert.h"

namespace drover {

Uuid Random::uuid() {
    Uuid uuid;
    fill(uuid.data);
    uuid.data[6] = static_cast<std::uint8_t>((uuid.data[6] & 0x0f) | 0x40);
    uuid.data[8] = static_cast<std::uint8_t>((uuid.data[8] & 0x3f) | 0x80);
    return uuid;
}

Hash Random::secret() {
    Hash secret;
    fill(secret.data);
    return secret;
}

std::uint64_t Random::below(std::uint64_t bound) {
    DROVER_ASSERT(bound > 0);
    const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
        std::array<std::uint8_t, 8> raw{};
        fill(raw);
        const std::uint64_t value = get_u64(raw, 0);
        if (value < limit) return value % bound;
    }
}

void SystemRandom::fill(std::span<std::uint8_t> out) {
    while (!out.empty()) {
        const ssize_t got = getrandom(out.data(), out.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        DROVER_ASSERT(got > 0);
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

void SeededRandom::fill(std::span<std::uint8_t> out) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (i % 8 == 0) {
            state_ += 0x9e3779b97f4a7c15U;
            word = state_;
            word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9U;
            word = (word ^ (word >> 27)) * 0x94d049bb133111ebU;
            word ^= word >> 31;
        }
        out[i] = static_cast<std::uint8_t>(word >> (8 * (i % 8)));
    }
}

}  // namespace drover
