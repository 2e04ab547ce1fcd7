/// A signed statement about a stretch of the log: which events it holds and with what hash it ends.
/// A chain alone shows that a log is consistent; an anchor that lies elsewhere shows that it is the
/// same log as then. Bytes only: no schema, no file. The layout is in format.md. Pure.
///
///   events 1..1024 ─► anchor ◄─ previous ─ anchor of 1025..1200 ◄─ …
#pragma once

#include "base/ed25519.h"
#include "eventlog/log.h"

namespace drover::eventlog {

/// The most events that one anchor covers, so that whoever checks one needs little memory.
constexpr std::size_t anchor_events_max = 1024;

struct Anchor {
    Uuid lineage;
    Seq first_seq = 0;  ///< the first event that no earlier anchor of this lineage covers
    Seq last_seq = 0;
    Hash last_hash;    ///< of event `last_seq`: through the chain it covers everything before it
    Hash merkle_root;  ///< over the hashes of first_seq..last_seq, see merkle.h
    Epoch epoch = 0;
    WallMicros wall_micros = 0;  ///< when it was made
    Hash previous;               ///< anchor_digest() of the anchor before; zero for the first
    PublicKey key;               ///< whose signature it is
    Signature signature;

    [[nodiscard]] std::uint64_t events() const { return last_seq - first_seq + 1; }

    bool operator==(const Anchor&) const = default;
};

/// The bytes that are signed: everything but the signature.
[[nodiscard]] Bytes anchor_message(const Anchor& anchor);
/// SHA-256 of the message and the signature.
[[nodiscard]] Hash anchor_digest(const Anchor& anchor);

/// Sets key and signature.
void sign_anchor(Anchor& anchor, const SigningSeed& seed);

/// What an anchor says by itself: its range is possible and its signature is that of its key.
/// Whether the key is the right one is the caller's question. Errors: corrupt (anchor_damaged).
[[nodiscard]] Result<> check_anchor(const Anchor& anchor);

/// Whether `next` was made after `before` by the same log. Errors: corrupt (anchor_chain_broken).
[[nodiscard]] Result<> check_anchor_link(const Anchor& before, const Anchor& next);

}  // namespace drover::eventlog
