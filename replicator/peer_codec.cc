#include "replicator/peer_codec.h"

#include "schemas/convert.h"
#include "schemas/peer.capnp.h"

#include <algorithm>

#include <capnp/message.h>

namespace drover::replicator {
namespace {

using flat::Checks;
using flat::Overloaded;

/// A bit for each block that a question may be about.
constexpr std::size_t written_bytes_max = range_digests_max / 8;
constexpr std::size_t ticket_bytes_max = 64U << 10;
constexpr std::size_t boot_id_bytes_max = 64;

// ---- pieces ----

void write_sizes(capnp::List<std::uint64_t>::Builder out, const std::vector<std::uint64_t>& sizes) {
    for (unsigned i = 0; i < out.size(); ++i) out.set(i, sizes[i]);
}

std::vector<std::uint64_t> read_sizes(capnp::List<std::uint64_t>::Reader in, std::string_view field,
                                      Checks& checks) {
    return checks.list(in, disks_max, field, [](std::uint64_t value) { return value; });
}

void write_texts(capnp::List<capnp::Text>::Builder out, const std::vector<std::string>& texts) {
    for (unsigned i = 0; i < out.size(); ++i) out.set(i, flat::text(texts[i]));
}

std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader in, Checks& checks) {
    return checks.list(in, flat::capabilities_max, "capabilities", [&](capnp::Text::Reader value) {
        return checks.line(value, "capabilities");
    });
}

Ticket read_ticket(capnp::Data::Reader in, Checks& checks) {
    const Bytes bytes = checks.bytes(in, "ticket", ticket_bytes_max);
    auto ticket = decode_ticket(bytes);
    if (ticket) return *ticket;
    checks.fail("ticket", ticket.error().detail());
    return {};
}

/// An agent of an earlier version says nothing: it has one.
std::uint8_t one_or_more(std::uint8_t lanes) {
    return std::max<std::uint8_t>(lanes, 1);
}

/// Digests back to back, as one blob.
template <class Fixed>
Bytes join(const std::vector<Fixed>& digests) {
    DROVER_ASSERT(digests.size() <= range_digests_max);
    Bytes out;
    out.reserve(digests.size() * sizeof(Fixed));
    for (const Fixed& digest : digests) put_bytes(out, digest.view());
    return out;
}

template <class Fixed>
std::vector<Fixed> split(capnp::Data::Reader in, Checks& checks) {
    constexpr std::size_t width = std::tuple_size_v<decltype(Fixed::data)>;
    std::vector<Fixed> out;
    if (in.size() % width != 0 || in.size() / width > range_digests_max) {
        checks.fail("digests", "wrong length");
        return out;
    }
    const ByteView bytes(in.begin(), in.size());
    out.reserve(bytes.size() / width);
    for (std::size_t at = 0; at < bytes.size(); at += width)
        out.push_back(*Fixed::from(bytes.subspan(at, width)));
    return out;
}

void write(schema::RangeQuestion::Builder out, const RangeQuestion& value) {
    out.setDisk(value.disk);
    out.setOffset(value.offset);
    out.setLength(value.length);
    out.setChunkBytes(value.chunk_bytes);
}

RangeQuestion read(schema::RangeQuestion::Reader in) {
    return {in.getDisk(), in.getOffset(), in.getLength(), in.getChunkBytes()};
}

// ---- hello, welcome, commit ----

void write(schema::PeerHello::Builder out, const PeerHello& value) {
    out.setVersionMin(value.version_min);
    out.setVersionMax(value.version_max);
    out.setTicket(flat::blob(encode_ticket(value.ticket)));
    out.setGeneration(flat::blob(value.generation.view()));
    out.setBootId(flat::text(value.boot_id));
    out.setResume(value.resume);
    out.setOverwriteAcknowledged(value.overwrite_acknowledged);
    write_texts(out.initCapabilities(flat::count(value.capabilities, flat::capabilities_max)),
                value.capabilities);
    out.setLanes(value.lanes);
}

PeerHello read(schema::PeerHello::Reader in, Checks& checks) {
    PeerHello out;
    out.version_min = in.getVersionMin();
    out.version_max = in.getVersionMax();
    if (out.version_min > out.version_max) checks.fail("versionMin", "above versionMax");
    out.ticket = read_ticket(in.getTicket(), checks);
    out.generation = checks.fixed<Generation>(in.getGeneration(), "generation");
    out.boot_id = checks.text(in.getBootId(), "bootId", boot_id_bytes_max);
    out.resume = in.getResume();
    out.overwrite_acknowledged = in.getOverwriteAcknowledged();
    out.capabilities = read_texts(in.getCapabilities(), checks);
    out.lanes = one_or_more(in.getLanes());
    return out;
}

void write(schema::Checkpoint::Builder out, const PeerCheckpoint& value) {
    out.setState(flat::wire_enum<schema::CheckpointState>(value.state));
    out.setGeneration(flat::blob(value.generation.view()));
    out.setBatch(value.batch);
    out.setMode(flat::wire_enum<schema::JournalMode>(value.mode));
    write_sizes(out.initMirroredUpto(flat::count(value.mirrored_upto, disks_max)),
                value.mirrored_upto);
    out.setVerifiedBatch(value.verified_batch);
}

PeerCheckpoint read(schema::Checkpoint::Reader in, Checks& checks) {
    PeerCheckpoint out;
    out.state = checks.number(in.getState(), CheckpointState::promoted, "state");
    out.generation = checks.fixed<Generation>(in.getGeneration(), "generation");
    out.batch = in.getBatch();
    out.mode = checks.number(in.getMode(), JournalMode::journal, "mode");
    out.mirrored_upto = read_sizes(in.getMirroredUpto(), "mirroredUpto", checks);
    out.verified_batch = in.getVerifiedBatch();
    return out;
}

void write(schema::PeerWelcome::Builder out, const PeerWelcome& value) {
    out.setVersion(value.version);
    out.setSessionId(flat::blob(value.session_id.view()));
    out.setMode(flat::wire_enum<schema::JournalMode>(value.mode));
    write(out.initCheckpoint(), value.checkpoint);
    write_sizes(out.initSizesBytes(flat::count(value.sizes_bytes, disks_max)), value.sizes_bytes);
    write_texts(out.initCapabilities(flat::count(value.capabilities, flat::capabilities_max)),
                value.capabilities);
    out.setLanes(value.lanes);
}

PeerWelcome read(schema::PeerWelcome::Reader in, Checks& checks) {
    PeerWelcome out;
    out.version = in.getVersion();
    out.session_id = checks.fixed<Uuid>(in.getSessionId(), "sessionId");
    out.mode = checks.number(in.getMode(), JournalMode::journal, "mode");
    out.checkpoint = read(in.getCheckpoint(), checks);
    out.sizes_bytes = read_sizes(in.getSizesBytes(), "sizesBytes", checks);
    out.capabilities = read_texts(in.getCapabilities(), checks);
    out.lanes = one_or_more(in.getLanes());
    return out;
}

void write(schema::Commit::Builder out, const Commit& value) {
    out.setBatch(value.batch);
    out.setFrames(value.frames);
    out.setDigest(flat::blob(value.digest.view()));
    write_sizes(out.initMirroredUpto(flat::count(value.mirrored_upto, disks_max)),
                value.mirrored_upto);
    out.setGeneration(flat::blob(value.generation.view()));
    out.setIsPoint(value.is_point);
    out.setTakenMicros(value.taken_micros);
    out.setPointKind(static_cast<std::uint8_t>(value.kind));
}

Commit read(schema::Commit::Reader in, Checks& checks) {
    Commit out;
    out.batch = in.getBatch();
    out.frames = in.getFrames();
    out.digest = checks.fixed<Digest>(in.getDigest(), "digest");
    out.mirrored_upto = read_sizes(in.getMirroredUpto(), "mirroredUpto", checks);
    out.generation = checks.fixed<Generation>(in.getGeneration(), "generation");
    out.is_point = in.getIsPoint();
    out.taken_micros = in.getTakenMicros();
    out.kind = checks.number(in.getPointKind(), PointKind::application, "point kind");
    return out;
}

template <class Fixed>
void write_answer(schema::RangeAnswer::Builder out, std::uint32_t disk, std::uint64_t offset,
                  const std::vector<Fixed>& digests) {
    out.setDisk(disk);
    out.setOffset(offset);
    out.setDigests(flat::blob(join(digests)));
}

void write(schema::ReadBack::Builder out, const ReadBackFound& value) {
    out.setVerifiedBatch(value.verified_batch);
    out.setUnverifiedBytes(value.unverified_bytes);
    out.setReadBytes(value.read_bytes);
    out.setDifferedBytes(value.differed_bytes);
    flat::write_ranges(out.initDiffering(flat::count(value.differing, mismatches_max)),
                       value.differing);
}

ReadBackFound read(schema::ReadBack::Reader in, Checks& checks) {
    ReadBackFound out;
    out.verified_batch = in.getVerifiedBatch();
    out.unverified_bytes = in.getUnverifiedBytes();
    out.read_bytes = in.getReadBytes();
    out.differed_bytes = in.getDifferedBytes();
    out.differing = flat::read_ranges(in.getDiffering(), checks);
    return out;
}

void write(schema::ComparedRange::Builder out, const RangeCompared& value) {
    out.setDisk(value.disk);
    out.setOffset(value.offset);
    out.setHashes(flat::blob(join(value.hashes)));
    DROVER_ASSERT(value.written.size() <= written_bytes_max);
    out.setWritten(flat::blob(value.written));
}

RangeCompared read(schema::ComparedRange::Reader in, Checks& checks) {
    RangeCompared out{in.getDisk(), in.getOffset(), split<Hash>(in.getHashes(), checks), {}};
    const auto written = in.getWritten();
    if (written.size() > written_bytes_max)
        checks.fail("written", "too long");
    else
        out.written.assign(written.begin(), written.end());
    return out;
}

void write(schema::Holding::Builder out, const Holding& value) {
    write(out.initCheckpoint(), value.checkpoint);
    out.setJournalLagBytes(value.journal_lag_bytes);
}

Holding read(schema::Holding::Reader in, Checks& checks) {
    return {read(in.getCheckpoint(), checks), in.getJournalLagBytes()};
}

// ---- the roots ----

SourceMessage read(schema::SourceMessage::Reader in, Checks& checks) {
    using Which = schema::SourceMessage::Which;
    switch (in.which()) {
        case Which::HELLO:
            return read(in.getHello(), checks);
        case Which::COMMIT:
            return read(in.getCommit(), checks);
        case Which::HASH_RANGE:
            return HashRange{read(in.getHashRange())};
        case Which::SHA_RANGE:
            return ShaRange{read(in.getShaRange())};
        case Which::PING:
            return Ping{};
        case Which::READ_BACK:
            return ReadBackWanted{in.getReadBack()};
        case Which::COMPARE_RANGE: {
            const auto question = in.getCompareRange();
            return CompareRange{read(question.getRange()), question.getSettled()};
        }
        case Which::HOLDING:
            return HoldingWanted{};
    }
    checks.fail("message", "unknown kind");
    return Ping{};
}

TargetMessage read(schema::TargetMessage::Reader in, Checks& checks) {
    using Which = schema::TargetMessage::Which;
    switch (in.which()) {
        case Which::WELCOME:
            return read(in.getWelcome(), checks);
        case Which::REFUSED:
            return PeerRefused{flat::read(in.getRefused(), checks)};
        case Which::COMMITTED:
            return Committed{in.getCommitted()};
        case Which::HASHES: {
            const auto answer = in.getHashes();
            return RangeHashes{answer.getDisk(), answer.getOffset(),
                               split<Digest>(answer.getDigests(), checks)};
        }
        case Which::LEAVES: {
            const auto answer = in.getLeaves();
            return RangeLeaves{answer.getDisk(), answer.getOffset(),
                               split<Hash>(answer.getDigests(), checks)};
        }
        case Which::WORKING:
            return Working{};
        case Which::WAITING:
            return Waiting{flat::read(in.getWaiting(), checks)};
        case Which::PONG:
            return Pong{};
        case Which::READ_BACK:
            return read(in.getReadBack(), checks);
        case Which::COMPARED:
            return read(in.getCompared(), checks);
        case Which::HOLDING:
            return read(in.getHolding(), checks);
    }
    checks.fail("message", "unknown kind");
    return Pong{};
}

}  // namespace

Bytes encode(const SourceMessage& message) {
    flat::Message arena;
    auto root = arena.init_root<schema::SourceMessage>();
    std::visit(Overloaded{[&](const PeerHello& m) { write(root.initHello(), m); },
                          [&](const Commit& m) { write(root.initCommit(), m); },
                          [&](const HashRange& m) { write(root.initHashRange(), m.range); },
                          [&](const ShaRange& m) { write(root.initShaRange(), m.range); },
                          [&](const Ping&) { root.setPing(); },
                          [&](const ReadBackWanted& m) { root.setReadBack(m.finish); },
                          [&](const CompareRange& m) {
                              auto question = root.initCompareRange();
                              write(question.initRange(), m.range);
                              question.setSettled(m.settled);
                          },
                          [&](const HoldingWanted&) { root.setHolding(); }},
               message);
    return flat::to_bytes(root);
}

Bytes encode(const TargetMessage& message) {
    flat::Message arena;
    auto root = arena.init_root<schema::TargetMessage>();
    std::visit(
        Overloaded{[&](const PeerWelcome& m) { write(root.initWelcome(), m); },
                   [&](const PeerRefused& m) { flat::write(root.initRefused(), m.error); },
                   [&](const Committed& m) { root.setCommitted(m.batch); },
                   [&](const RangeHashes& m) {
                       write_answer(root.initHashes(), m.disk, m.offset, m.digests);
                   },
                   [&](const RangeLeaves& m) {
                       write_answer(root.initLeaves(), m.disk, m.offset, m.leaves);
                   },
                   [&](const Working&) { root.setWorking(); }, [&](const Pong&) { root.setPong(); },
                   [&](const ReadBackFound& m) { write(root.initReadBack(), m); },
                   [&](const RangeCompared& m) { write(root.initCompared(), m); },
                   [&](const Holding& m) { write(root.initHolding(), m); },
                   [&](const Waiting& m) { flat::write(root.initWaiting(), m.reason); }},
        message);
    return flat::to_bytes(root);
}

Bytes encode(const BulkHello& hello) {
    flat::Message arena;
    auto root = arena.init_root<schema::BulkHello>();
    root.setSessionId(flat::blob(hello.session_id.view()));
    root.setTicket(flat::blob(encode_ticket(hello.ticket)));
    root.setLane(hello.lane);
    root.setLanes(hello.lanes);
    return flat::to_bytes(root);
}

Result<SourceMessage> decode_source_message(ByteView bytes) {
    return flat::from_bytes<schema::SourceMessage>(
        bytes, [](schema::SourceMessage::Reader in, Checks& checks) { return read(in, checks); });
}

Result<TargetMessage> decode_target_message(ByteView bytes) {
    return flat::from_bytes<schema::TargetMessage>(
        bytes, [](schema::TargetMessage::Reader in, Checks& checks) { return read(in, checks); });
}

Result<BulkHello> decode_bulk_hello(ByteView bytes) {
    return flat::from_bytes<schema::BulkHello>(
        bytes, [](schema::BulkHello::Reader in, Checks& checks) {
            BulkHello out;
            out.session_id = checks.fixed<Uuid>(in.getSessionId(), "sessionId");
            out.ticket = read_ticket(in.getTicket(), checks);
            out.lane = in.getLane();
            out.lanes = one_or_more(in.getLanes());
            if (out.lane >= out.lanes) checks.fail("lane", "there are not so many");
            return out;
        });
}

}  // namespace drover::replicator
