# Wire form of the session between an agent and the orchestrator (TCP 6325), and the stored form of
# job specs, effects, reports and tickets. Plain C++ values: session.h and model.h; conversion: convert.h.
#
# Rules for change: never renumber, never reuse a number, never change a type; new fields go at the
# end and must mean "as before" when absent. "agent" and "orchestrator" below name who sets a field.
# Identities and digests are Data of a fixed length; decoders refuse every other length.
@0xc3a1f0f5b7f44e91;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("drover::schema");

# ---- shared words; the numbers are those of the C++ enums in model.h ----

enum Side { source @0; target @1; }

enum HookStep {
  preFence @0;       # source: stop the workload
  postRelease @1;    # source: start it again
  postActivate @2;   # target: start the workload
  validate @3;       # target: is it healthy
  preDeactivate @4;  # target: stop it for a rollback
  testStart @5;      # target: start the workload on a test's overlay
  testStop @6;       # target: stop it again
}

enum Comparison { beforeRelease @0; duringHold @1; never @2; automatic @3; }

enum Severity { info @0; warning @1; critical @2; }

enum DataState {
  idle @0; mirroring @1; catchingUp @2; inSync @3; lagging @4;
  notConverging @5; stalled @6; rescanning @7; paused @8; disconnected @9;
}

enum EffectKind {
  preflight @0; replicate @1; fence @2; holdFence @3; drain @4; verify @5; activate @6; validate @7;
  deactivate @8; release @9; cleanup @10; deleteData @11; wakeAt @12; sealPoint @13; startTest @14;
  revertTest @15; holdTest @16; reverseDrain @17; reverseVerify @18; compare @19;
}

enum ReplicateMode { transfer @0; trackOnly @1; connected @2; compare @3; }

enum ErrorCode {
  none @0; invalid @1; notFound @2; conflict @3; denied @4; unavailable @5; corrupt @6; io @7;
  unsupported @8; timedOut @9; cancelled @10;
}

struct Fault {
  # An error that a person will read. Set by whoever failed.
  code @0 :ErrorCode;  # what the caller can do about it
  id @1 :Text;         # stable identifier, for example "target_not_blank"
  detail @2 :Text;     # what happened here; free text, cut at 4096 bytes
  kept @3 :Text;       # what is safe; free text
  next @4 :Text;       # what to do; free text
}

struct DiskPair {
  # Set by the person who plans the job.
  source @0 :Text;  # path on the source host
  target @1 :Text;  # path on the target host
  skipFreeSpace @2 :Bool;  # the first copy leaves free space out; no part of what a ticket signs
}

struct HookName {
  # One entry of a map from step to hook; entries ascend by step.
  step @0 :HookStep;
  name @1 :Text;  # names a file in the agent's own configuration; never a command line
}

struct Hook {
  # A hook to run, as the approved plan has it. Set by the orchestrator.
  name @0 :Text;    # names a file in the agent's own configuration; empty: no hook
  sha256 @1 :Data;  # 32 bytes, of that file when the plan was checked: another file is not run
}

struct HookDigest {
  # One entry of a map; entries ascend by step. Set by the agent.
  step @0 :HookStep;
  sha256 @1 :Data;  # 32 bytes, of the hook's file
}

struct Limits {
  rateBytesPerS @0 :UInt64;  # bytes a second; 0: no limit
}

struct JobSpec {
  # The plan of a job. Set by the person who plans it, checked by the orchestrator.
  name @0 :Text;              # 1..63 of [a-z0-9-]
  sourceAgent @1 :Text;       # agent name
  targetAgent @2 :Text;       # agent name
  disks @3 :List(DiskPair);   # 1..32
  hooks @4 :List(HookName);   # ascending by step
  limits @5 :Limits;
  outageMaxS @6 :UInt32;      # seconds from CutoverStarted to Activate
  holdS @7 :UInt32;           # seconds until the decision to commit is overdue
  backlogBytesMax @8 :UInt64; # bytes; above it a job is neither in sync nor fenced
  comparison @9 :Comparison;  # when the whole disks are compared
}

struct Finding {
  # One result of a preflight. Set by the agent.
  severity @0 :Severity;
  id @1 :Text;      # stable identifier
  object @2 :Text;  # the disk, hook or setting
  detail @3 :Text;  # free text
  next @4 :Text;    # free text: what to do about it
}

struct DiskFacts {
  # Set by the agent whose disk it is.
  path @0 :Text;
  identity @1 :Text;       # wwid, serial or device:inode; empty when nothing is stable
  sizeBytes @2 :UInt64;
  sectorBytes @3 :UInt32;  # logical sector size in bytes
  tracker @4 :Text;        # source: "ebpf" or "scan"; target: empty
}

struct Endpoint {
  # Set by the target agent in its preflight; the source dials it.
  host @0 :Text;  # DNS name or IP address; empty when there is no listener
  controlPort @1 :UInt16;
  bulkPort @2 :UInt16;
}

struct ByteRange {
  disk @0 :UInt32;    # index into the job's disks
  offset @1 :UInt64;  # bytes
  length @2 :UInt64;  # bytes
}

struct DiskProof {
  # SHA-256 Merkle roots of one disk. Set by the agents from what each of them read.
  sourceRoot @0 :Data;  # 32 bytes
  targetRoot @1 :Data;  # 32 bytes
  bytes @2 :UInt64;     # compared bytes
  skippedBytes @3 :UInt64;  # free space, never copied
  writtenBytes @4 :UInt64;  # changed by the target's users, not compared
}

struct FenceProof {
  # Set and signed by the source agent once its fence stands; checked by the target agent.
  token @0 :Data;            # 16 bytes: of the Fence effect
  job @1 :Data;              # 16 bytes
  run @2 :UInt32;            # of the Fence effect
  trackerSeq @3 :UInt64;     # the tracker's sequence number when it stood still
  fencedMicros @4 :Int64;    # microseconds since 1970, source's clock
  certificatePem @5 :Text;   # of the source agent
  signature @6 :Data;        # Ed25519 over fence_proof_message()
}

struct EffectId {
  # Set by the orchestrator, derived from the causing event; the same for ever.
  lineage @0 :Data;    # 16 bytes: of the log
  job @1 :Data;        # 16 bytes
  seq @2 :UInt64;      # global position of the causing event
  kind @3 :EffectKind;
  side @4 :Side;
  causeHash @5 :Data;  # 16 bytes: start of the causing event's chain hash
}

struct Ticket {
  # Set and signed by the orchestrator; each agent shows it to the other.
  lineage @0 :Data;            # 16 bytes: of the log
  job @1 :Data;                # 16 bytes
  jobName @2 :Text;
  serial @3 :UInt64;           # only rises; a peer that saw n refuses less
  sourceAgent @4 :Text;
  targetAgent @5 :Text;
  disks @6 :List(DiskPair);    # 1..32
  sizesBytes @7 :List(UInt64); # of the source disks, same order and length
  notAfterMicros @8 :Int64;    # microseconds since 1970
  signature @9 :Data;          # Ed25519 over ticket_message(); empty until signed
}

# ---- effects ----

struct PreflightWork {
  disks @0 :List(Text);      # this side's paths
  hooks @1 :List(HookName);  # ascending by step
}

struct ReplicateWork {
  ticket @0 :Ticket;
  peer @1 :Endpoint;               # the target's listener
  mode @2 :ReplicateMode;
  limits @3 :Limits;
  backlogBytesMax @4 :UInt64;      # bytes
  overwriteAcknowledged @5 :Bool;  # a named person accepted that foreign writes on the target are lost
  reverse @6 :Bool;                # the ticket names the target as source: the way back
}

struct FenceWork {
  token @0 :Data;              # 16 bytes, random, names this fence
  run @1 :UInt32;              # raised by every cutover
  disks @2 :List(Text);        # source paths
  backlogBytesMax @3 :UInt64;  # bytes; above it the source declines
  preFenceHook @4 :Hook;
  postReleaseHook @5 :Hook;    # run if the fence has to be undone on the spot
}

struct DrainWork {
  token @0 :Data;                # 16 bytes
  repair @1 :List(ByteRange);    # <= 256 ranges to send again
}

struct ActivateWork {
  token @0 :Data;            # 16 bytes
  proof @1 :FenceProof;      # as the source agent signed it
  sourceAgent @2 :Text;      # whose certificate must have signed
  postActivateHook @3 :Hook;
}

struct Work {
  # What an effect asks for. Set by the orchestrator. kind_of() in schemas/effect.h names its EffectKind.
  union {
    preflight @0 :PreflightWork;
    replicate @1 :ReplicateWork;
    fence @2 :FenceWork;
    holdFence :group { token @3 :Data; }    # 16 bytes
    drain @4 :DrainWork;
    verify :group {
      token @5 :Data;                       # 16 bytes
      inductionOnly @15 :Bool;              # do not compare the whole disks
    }
    activate @6 :ActivateWork;
    validate :group { hook @7 :Hook; }      # none: only read the disks
    deactivate :group {
      token @8 :Data;                       # 16 bytes
      preDeactivateHook @9 :Hook;
      keepChanges @16 :Bool;                # a reverse delta follows
    }
    release :group {
      token @10 :Data;                      # 16 bytes
      postReleaseHook @11 :Hook;
      keepReverse @17 :Bool;                # the disks hold a reverse delta, proved
    }
    cleanup :group { keepFence @12 :Bool; }
    deleteData :group { disks @13 :List(Text); }  # target paths
    wakeAt :group { atMicros @14 :Int64; }  # microseconds since 1970; never leaves the orchestrator
    startTest :group {
      testStartHook @18 :Hook;
      testStopHook @19 :Hook;
    }
    revertTest :group { testStopHook @20 :Hook; }
    reverseDrain :group { token @21 :Data; }   # 16 bytes
    reverseVerify :group { token @22 :Data; }  # 16 bytes
    compare :group { token @23 :Data; }        # 16 bytes
  }
}

struct Effect {
  id @0 :EffectId;
  agent @1 :Text;    # who does it; empty only for wakeAt
  jobName @2 :Text;
  work @3 :Work;
}

# ---- reports ----

struct PreflightDone {
  findings @0 :List(Finding);        # <= 256
  disks @1 :List(DiskFacts);         # <= 32
  capabilities @2 :List(Text);       # <= 64, for example "track.ebpf"
  hookDigests @3 :List(HookDigest);  # ascending by step
  endpoint @4 :Endpoint;             # of the target, or of a source for the way back
  journalMode @5 :Text;              # target only: "direct" or "journal"
}

struct VerifyDone {
  disks @0 :List(DiskProof);       # <= 32, in the job's order
  mismatches @1 :List(ByteRange);  # <= 256; empty: none was found
  written @2 :List(ByteRange);     # <= 256; CompareDone only: what the target's users wrote
}

struct StartTestDone {
  point @0 :UInt64;        # batch of the journal's point
  pointKind @1 :PointKind;
  takenMicros @2 :Int64;   # microseconds since 1970, source's clock
  overlay @3 :Text;        # "reflink", "qcow2" or "dm-snapshot"
  disks @4 :List(Text);    # paths that the workload was given, in the job's order, <= 32
}

struct Report {
  # An agent's durable statement about an effect. Set by the agent.
  reportId @0 :Data;     # 16 bytes, random; the same in every resend
  effect @1 :EffectId;   # copied from the effect
  union {
    preflightDone @2 :PreflightDone;
    mirrorDone :group { generation @3 :Data; }  # 16 bytes
    dataState :group {
      state @4 :DataState;
      generation @5 :Data;                      # 16 bytes
      backlogBytes @6 :UInt64;
    }
    generationGone :group {
      disk @7 :UInt32;                          # index into the job's disks
      cause @8 :Text;                           # free text
    }
    fenceDone @9 :FenceProof;
    fenceDeclined :group { backlogBytes @10 :UInt64; }
    fenceBreach :group { completions @11 :UInt64; }  # writes that completed under the fence
    fenceBroken :group { by @12 :Text; }        # who, as the host knows them
    drainDone :group {
      batch @13 :UInt64;                        # number of the last batch
      bytes @14 :UInt64;                        # payload of the drain
      bytesReadBack @24 :UInt64;                # of all that was written for this copy
      bytesDiffered @25 :UInt64;                # of those, and sent again
      bytesUnverified @26 :UInt64;              # not read back, because the target cannot
    }
    verifyDone @15 :VerifyDone;
    activateDone :group { activatedMicros @16 :Int64; }  # microseconds since 1970, target's clock
    validateDone :group { check @17 :Text; }    # what was checked
    deactivateDone :group {
      wasActive @18 :Bool;
      bytesWritten @19 :UInt64;                 # on the target's disks since activation
      changesKnown @27 :Bool;                   # the change map is exact
      changedBytes @28 :UInt64;                 # by that map
    }
    releaseDone :group { releasedMicros @20 :Int64; }    # microseconds since 1970, source's clock
    cleanupDone @21 :Void;
    dataDeleted @22 :Void;
    failed @23 :Fault;
    startTestDone @29 :StartTestDone;
    revertTestDone @30 :Void;
    reverseDrainDone :group {
      batch @31 :UInt64;
      bytes @32 :UInt64;                        # payload
    }
    reverseVerifyDone @33 :VerifyDone;
    compareDone @34 :VerifyDone;
  }
}

# ---- telemetry ----

struct DiskProgress {
  sizeBytes @0 :UInt64;
  mirroredBytes @1 :UInt64;
  backlogBytes @2 :UInt64;
}

struct Progress {
  # Set by the agent about once a second; never logged, may be lost.
  job @0 :Data;                  # 16 bytes
  side @1 :Side;
  state @2 :DataState;
  disks @3 :List(DiskProgress);  # <= 32, in the job's order
  bytesChanged @4 :UInt64;       # taken from the tracker since the mirror completed
  bytesSentMirror @5 :UInt64;    # payload
  bytesSentSync @6 :UInt64;      # payload
  bytesZeroSkipped @7 :UInt64;
  bytesResumed @8 :UInt64;       # durable at the last reconnect, not sent again
  passes @9 :UInt64;
  trackerLosses @10 :UInt64;     # events that the audit found missing, repaired
  rateBytesPerS @11 :UInt64;     # over the last second or so
  bytesWrittenSinceActivation @12 :UInt64;  # target only
  detail @13 :Text;              # last error in words; free text
  bytesUnverified @14 :UInt64;   # durable on the target, not read back there yet
  bytesReadBack @15 :UInt64;     # by the target, of what it wrote
  bytesDiffered @16 :UInt64;     # of those, and sent again; 0 on good hardware
  walkRounds @17 :UInt64;        # complete rounds of the comparison while in sync
  walkAlarms @18 :UInt64;        # ranges that differed unexplained; must stay 0
  journalLagBytes @19 :UInt64;   # target only: durable there, not on its disks yet
  points @20 :List(PointMark);   # target only: <= 64, oldest first
  bytesOnWire @21 :UInt64;       # frames as handed to the bulk connection: headers, payloads as stored
  bytesSkipped @22 :UInt64;      # source only: free space that is left out
  bytesCompared @23 :UInt64;     # source only: of the comparison that runs
  journalUsedBytes @24 :UInt64;  # target only
  journalBudgetBytes @25 :UInt64;  # target only; 0: there is no journal
}

struct PointMark {
  # A state of all disks that the target can be taken back to.
  batch @0 :UInt64;
  takenMicros @1 :Int64;
  kind @2 :PointKind;
}

enum PointKind { crash @0; filesystem @1; application @2; }

# ---- after a restore ----

enum Handover { none @0; underWay @1; active @2; takenBack @3; }

struct LineageReset {
  # Events of a log were lost and a named person accepted that. Signed with the recovery key.
  oldLineage @0 :Data;    # 16 bytes
  oldHeadSeq @1 :UInt64;  # the last event of the old lineage that the restored log has
  oldHeadHash @2 :Data;   # 32 bytes
  oldEpoch @3 :UInt32;
  newLineage @4 :Data;    # 16 bytes
  newEpoch @5 :UInt32;
  atMicros @6 :Int64;     # microseconds since 1970, server's clock
  by @7 :Text;            # <= 512 bytes
  reason @8 :Text;        # <= 512 bytes
  signature @9 :Data;     # Ed25519 over lineage_reset_message()
}

struct JobWorld {
  # What one host holds of one side of a job. Set by the agent.
  job @0 :Data;            # 16 bytes
  side @1 :Side;
  jobName @2 :Text;        # empty when only the id is remembered
  lastSeq @3 :UInt64;      # highest causing position of any effect that it took
  busy @4 :Bool;           # a step runs, or its outcome is not known yet
  closed @5 :Bool;         # cleaned up here
  fence @6 :Data;          # 16 bytes: token of the fence that stands; zeros: none
  handover @7 :Handover;
  handoverToken @8 :Data;  # 16 bytes; zeros: none
  breached @9 :Bool;       # source: a disk may have been written under that fence, or root opened it
}

struct WorldFound {
  jobs @0 :List(JobWorld);  # <= 1024, those with the highest lastSeq first
  isCut @1 :Bool;           # there are more
}

# ---- the session ----

struct Witness {
  # A position in an orchestrator's log that somebody has seen.
  lineage @0 :Data;  # 16 bytes
  epoch @1 :UInt32;
  seq @2 :UInt64;    # 0: nothing seen yet
  hash @3 :Data;     # 32 bytes: chain hash at seq
}

struct Hello {
  # First message of an agent, once.
  versionMin @0 :UInt16;         # protocol versions that the agent speaks
  versionMax @1 :UInt16;
  agent @2 :Text;                # must equal the name in the certificate
  incarnation @3 :Data;          # 16 bytes: of the agent's state directory
  hostIdentity @4 :Text;         # machine-id or DMI uuid
  bootId @5 :Text;
  software @6 :Text;             # name and version
  roles @7 :List(Text);          # "source", "target"
  capabilities @8 :List(Text);   # <= 64
  witness @9 :Witness;           # the last command it obeyed
}

struct Welcome {
  # The orchestrator's answer to an accepted Hello.
  version @0 :UInt16;            # the protocol version from here on
  lineage @1 :Data;              # 16 bytes: of its log
  epoch @2 :UInt32;              # of this run of the orchestrator
  headSeq @3 :UInt64;            # its log's end
  headHash @4 :Data;             # 32 bytes
  hashAtWitness @5 :Data;        # 32 bytes: its log's hash at the agent's witness; empty: has none
  heartbeatMs @6 :UInt32;        # milliseconds
  deadMs @7 :UInt32;             # milliseconds
  resets @8 :List(LineageReset); # <= 64, oldest first: how its log came to this lineage
  wantsWorld @9 :Bool;           # the agent shall say what it holds (WorldFound)
}

struct EffectWanted {
  # Set by the orchestrator.
  effect @0 :Effect;
  epoch @1 :UInt32;  # of the sender
  head @2 :Witness;  # its log's head when this was sent
  digest @3 :Data;   # 32 bytes: SHA-256 of the canonical encoding of the work
}

struct EffectWithdrawn {
  # Set by the orchestrator; only for standing effects.
  id @0 :EffectId;
  epoch @1 :UInt32;
}

struct AnchorMade {
  # Set by the orchestrator: a new signed anchor of its log, for the agent to keep.
  lineage @0 :Data;   # 16 bytes
  lastSeq @1 :UInt64; # the last event that it covers
  line @2 :Text;      # the anchor in its text form; printable ASCII, <= 1024 bytes
}

struct AgentMessage {
  # Root of every message from an agent.
  union {
    hello @0 :Hello;
    effectTaken @1 :EffectId;   # it has the effect, durably for one-shots
    report @2 :Report;          # again after every reconnect until acknowledged
    progress @3 :Progress;
    heartbeat @4 :Void;
    refused @5 :Fault;          # said before closing
    worldFound @6 :WorldFound; # after a Welcome that wants it, and from time to time
  }
}

struct OrchestratorMessage {
  # Root of every message from the orchestrator.
  union {
    welcome @0 :Welcome;
    effectWanted @1 :EffectWanted;
    effectWithdrawn @2 :EffectWithdrawn;
    reportAck @3 :Data;         # 16 bytes: reportId
    heartbeat @4 :Void;
    refused @5 :Fault;          # said before closing
    anchorMade @6 :AnchorMade;  # after a Welcome, and whenever there is a new one
  }
}
