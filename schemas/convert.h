/// Plain values <-> Cap'n Proto builders and readers of agent.capnp, for codecs of this and other
/// schemas that embed them. Include in .cc files only (heavy). Readers note what is wrong in
/// `checks`.
#pragma once

#include "schemas/agent.capnp.h"
#include "schemas/flat.h"
#include "schemas/restore.h"

namespace drover::flat {

void write(schema::Fault::Builder out, const Error& value);
[[nodiscard]] Error read(schema::Fault::Reader in, Checks& checks);

void write(schema::JobSpec::Builder out, const JobSpec& value);
[[nodiscard]] JobSpec read(schema::JobSpec::Reader in, Checks& checks);

void write(schema::EffectId::Builder out, const EffectId& value);
[[nodiscard]] EffectId read(schema::EffectId::Reader in, Checks& checks);

void write(schema::Ticket::Builder out, const Ticket& value);
[[nodiscard]] Ticket read(schema::Ticket::Reader in, Checks& checks);

void write(schema::Endpoint::Builder out, const Endpoint& value);
[[nodiscard]] Endpoint read(schema::Endpoint::Reader in, Checks& checks);

void write(schema::FenceProof::Builder out, const FenceProof& value);
[[nodiscard]] FenceProof read(schema::FenceProof::Reader in, Checks& checks);

void write(schema::ByteRange::Builder out, const ByteRange& value);
[[nodiscard]] ByteRange read(schema::ByteRange::Reader in, Checks& checks);

void write(schema::Work::Builder out, const EffectWork& value);
[[nodiscard]] EffectWork read(schema::Work::Reader in, Checks& checks);

void write(schema::Effect::Builder out, const Effect& value);
[[nodiscard]] Effect read(schema::Effect::Reader in, Checks& checks);

void write(schema::Report::Builder out, const Report& value);
[[nodiscard]] Report read(schema::Report::Reader in, Checks& checks);

void write(schema::PreflightDone::Builder out, const PreflightDone& value);
[[nodiscard]] PreflightDone read(schema::PreflightDone::Reader in, Checks& checks);

void write(schema::StartTestDone::Builder out, const StartTestDone& value);
[[nodiscard]] StartTestDone read(schema::StartTestDone::Reader in, Checks& checks);

void write(schema::Progress::Builder out, const Progress& value);
[[nodiscard]] Progress read(schema::Progress::Reader in, Checks& checks);

void write(schema::JobWorld::Builder out, const JobWorld& value);
[[nodiscard]] JobWorld read(schema::JobWorld::Reader in, Checks& checks);

void write(schema::LineageReset::Builder out, const LineageReset& value);
[[nodiscard]] LineageReset read(schema::LineageReset::Reader in, Checks& checks);

// ---- pieces that several of the above share ----

/// Paths of one side: at most disks_max.
void write_paths(capnp::List<capnp::Text>::Builder out, const std::vector<std::string>& paths);
[[nodiscard]] std::vector<std::string> read_paths(capnp::List<capnp::Text>::Reader in,
                                                  std::string_view field, Checks& checks);

void write_hooks(capnp::List<schema::HookName>::Builder out,
                 const std::map<HookStep, std::string>& hooks);
/// Entries must ascend by step, so that a map has one encoding.
[[nodiscard]] std::map<HookStep, std::string> read_hooks(capnp::List<schema::HookName>::Reader in,
                                                         Checks& checks);

void write_disk_pairs(capnp::List<schema::DiskPair>::Builder out,
                      const std::vector<DiskPair>& disks);
[[nodiscard]] std::vector<DiskPair> read_disk_pairs(capnp::List<schema::DiskPair>::Reader in,
                                                    Checks& checks);

/// At most findings_max.
void write_findings(capnp::List<schema::Finding>::Builder out,
                    const std::vector<Finding>& findings);
[[nodiscard]] std::vector<Finding> read_findings(capnp::List<schema::Finding>::Reader in,
                                                 Checks& checks);

/// At most disks_max.
void write_proofs(capnp::List<schema::DiskProof>::Builder out, const std::vector<DiskProof>& disks);
[[nodiscard]] std::vector<DiskProof> read_proofs(capnp::List<schema::DiskProof>::Reader in,
                                                 Checks& checks);

/// At most mismatches_max.
void write_ranges(capnp::List<schema::ByteRange>::Builder out,
                  const std::vector<ByteRange>& ranges);
[[nodiscard]] std::vector<ByteRange> read_ranges(capnp::List<schema::ByteRange>::Reader in,
                                                 Checks& checks);

/// For variants: std::visit(Overloaded{...}, value).
template <class... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

constexpr std::size_t hook_steps = 7;

}  // namespace drover::flat
