# Wire form of what a job's source agent and target agent say to each other: the control link (TCP
# 6325) and the first frame of each bulk link (TCP 6326). Data frames have their own fixed binary
# layout: replicator/frame.h. Plain C++ values: replicator/peer_message.h.
#
#   source ── hello ─► target      source ── hashRange ─► target      source ── commit ─► target
#          ◄─ welcome ──                  ◄─ working ... hashes ──            ◄─ committed ──
#
# Rules for change: never renumber, never reuse a number, never change a type; new fields go at the
# end and must mean "as before" when absent. "source" and "target" below name who sets a field.
# Identities and digests are Data of a fixed length; decoders refuse every other length.
@0xa14efe62f68c9ba4;

using Agent = import "agent.capnp";
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("drover::schema");

enum JournalMode {
  direct @0;   # batches are written in place, flushed, then acknowledged
  journal @1;  # batches go to a redo journal first; not offered by this version
}

enum CheckpointState {
  syncing @0;   # the disks belong to replication
  void @1;      # somebody else wrote the disks: their content matches no generation
  promoted @2;  # the disks were released to users; nothing here may write them
}

struct PeerHello {
  # First message of the source on a control link, once.
  versionMin @0 :UInt16;             # protocol versions that the source speaks
  versionMax @1 :UInt16;
  ticket @2 :Data;                   # encoded Agent.Ticket with its signature, at most 64 KiB
  generation @3 :Data;               # 16 bytes: of the job's trackers
  bootId @4 :Text;                   # of the source host
  resume @5 :Bool;                   # the source holds maps of this generation and could go on
  overwriteAcknowledged @6 :Bool;    # a named person accepted that foreign writes are lost
  capabilities @7 :List(Text);       # <= 64, for example "bulk.zero"; "bulk.lz4" and "bulk.zstd": codecs
                                     # of bulk frames, used only if both sides name them
  lanes @8 :UInt8;                   # bulk links that it would like, with the capability "bulk.lanes";
                                     # 0 or 1: one
}

struct Checkpoint {
  # What the target knows durably about its copy. Set by the target.
  state @0 :CheckpointState;
  generation @1 :Data;               # 16 bytes; zeroes: no batch of any generation was committed
  batch @2 :UInt64;                  # last durable batch; only rises
  mode @3 :JournalMode;
  mirroredUpto @4 :List(UInt64);     # bytes per disk, <= 32: everything below was sent once
  verifiedBatch @5 :UInt64;          # everything up to it was read back; 0: nothing is known to be
}

struct PeerWelcome {
  # The target's answer to an accepted PeerHello.
  version @0 :UInt16;                # the protocol version from here on
  sessionId @1 :Data;                # 16 bytes, random: names the session in BulkHello
  mode @2 :JournalMode;              # of this session
  checkpoint @3 :Checkpoint;
  sizesBytes @4 :List(UInt64);       # of the target's disks, <= 32
  capabilities @5 :List(Text);       # <= 64
  lanes @6 :UInt8;                   # bulk links of this session: 1..8, never more than were wished for;
                                     # 0: one. The source opens all of them
}

struct Commit {
  # Source: every frame of the batch has been handed to the bulk link.
  batch @0 :UInt64;                  # the checkpoint's batch + 1
  frames @1 :UInt64;                 # number of frames in it; 0 asks for a flush and a checkpoint
  digest @2 :Data;                   # 16 bytes: XXH3-128 over the frame headers in order; on several
                                     # lanes the sum of the headers' XXH3-128, modulo 2^128
  mirroredUpto @3 :List(UInt64);     # bytes per disk, <= 32, true once this batch is durable
  generation @4 :Data;               # 16 bytes; the checkpoint takes it over
  isPoint @5 :Bool;                  # with it the disks are what a power cut of the source would leave
  takenMicros @6 :Int64;             # wall clock of the source when it saw that; 0 if it is no point
  pointKind @7 :UInt8;               # PointKind of agent.capnp; 0 if it is no point
}

struct RangeQuestion {
  # Source asks for hashes of what the target reads from its disk.
  disk @0 :UInt32;                   # index into the job's disks
  offset @1 :UInt64;                 # bytes, a multiple of 4096
  length @2 :UInt64;                 # bytes; ends at the disk's end or on a multiple of 4096
  chunkBytes @3 :UInt64;             # bytes per hash; the last chunk may be shorter
}

struct RangeAnswer {
  disk @0 :UInt32;                   # copied from the question
  offset @1 :UInt64;                 # copied from the question
  digests @2 :Data;                  # 16 (XXH3-128) or 32 (SHA-256 leaf) bytes per chunk, <= 4096 chunks
}

struct ReadBack {
  # What the target read again from its disks after it was flushed, in this session. Set by the target.
  verifiedBatch @0 :UInt64;          # as in Checkpoint
  unverifiedBytes @1 :UInt64;        # flushed, but not read yet, or differing
  readBytes @2 :UInt64;              # in this session; only rises
  differedBytes @3 :UInt64;          # of those; only rises, also when they were sent again
  differing @4 :List(Agent.ByteRange);  # <= 256; not what was written, until it is sent again
}

struct CompareQuestion {
  # Source asks, during the hold, for hashes of what the target's users have not written
  # (replicator/held_hash.h). Never before a welcome with the capability "compare.hold".
  range @0 :RangeQuestion;           # on whole MiB; chunkBytes 4096 (at most 1 MiB of range) or 1 MiB (8 MiB)
  settled @1 :Bool;                  # only after an exact audit of what was written; at most 1 MiB of range
}

struct ComparedRange {
  disk @0 :UInt32;                   # copied from the question
  offset @1 :UInt64;                 # copied from the question
  hashes @2 :Data;                   # 32 bytes per chunk
  written @3 :Data;                  # bit i % 8 of byte i / 8: block i of 4 KiB was written, or is being
}

struct Holding {
  # What the target holds at this moment.
  checkpoint @0 :Checkpoint;
  journalLagBytes @1 :UInt64;        # durable in its journal, not on its disks
}

struct SourceMessage {
  # Root of every control message from the source.
  union {
    hello @0 :PeerHello;
    commit @1 :Commit;
    hashRange @2 :RangeQuestion;     # answered by hashes; chunkBytes 4096..1 MiB
    shaRange @3 :RangeQuestion;      # answered by leaves; chunkBytes >= 4096
    ping @4 :Void;                   # answered by pong
    readBack @5 :Bool;               # answered by readBack; true: once everything flushed was read.
                                     # Only to a target with the capability "proof.read_back"
    compareRange @6 :CompareQuestion;  # answered by compared
    holding @7 :Void;                # answered by holding
  }
}

struct TargetMessage {
  # Root of every control message from the target.
  union {
    welcome @0 :PeerWelcome;
    refused @1 :Agent.Fault;         # said before closing, at any time
    committed @2 :UInt64;            # this batch is written, flushed and in the durable checkpoint
    hashes @3 :RangeAnswer;
    leaves @4 :RangeAnswer;
    working @5 :Void;                # an answer takes longer; not an answer itself
    pong @6 :Void;
    readBack @7 :ReadBack;
    compared @8 :ComparedRange;
    holding @9 :Holding;
    waiting @10 :Agent.Fault;        # the answer comes once this is over; not an answer itself
  }
}

struct BulkHello {
  # First frame on a bulk link. A data frame goes on lane (offset / 1 MiB + disk) mod lanes, and is in
  # one such MiB, if there are several. A frame of a batch is sent after its predecessor's COMMIT.
  sessionId @0 :Data;                # 16 bytes: from PeerWelcome
  ticket @1 :Data;                   # encoded Agent.Ticket with its signature, at most 64 KiB
  lane @2 :UInt8;                    # 0..lanes - 1, each once a session
  lanes @3 :UInt8;                   # as in PeerWelcome; 0: one
}
