# Stored form of the facts in the event log. Plain C++ values: statemachine/event.h; conversion:
# statemachine/codec.cc. The payload of an event is one canonical Event message.
#
# Rules for change: never renumber, never reuse a number, never change a type; new fields go at the
# end of a struct and must mean "as before" when absent. The alternative's number is the fact's
# EventKind less one. A fact whose meaning changes gets a new kind_version and a new struct.
# All fields are set by the orchestrator when the fact is decided; "by" names who caused it: a person
# ("operator:NAME"), an agent ("agent:NAME"), "timer" or "system". Times are microseconds since 1970.
@0xe2b7a5d0c94f3168;

using Cxx = import "/capnp/c++.capnp";
using Agent = import "agent.capnp";
$Cxx.namespace("drover::schema");

struct Deed {
  # A fact of which only the doer matters.
  by @0 :Text;
}

struct OfSide {
  # A fact about one of the two agents.
  side @0 :Agent.Side;
}

struct JobPlanned {
  spec @0 :Agent.JobSpec;  # as the person sent it
  by @1 :Text;
}

struct CutoverArmed {
  by @0 :Text;
  atMicros @1 :Int64;             # when the timer starts it; 0: a person does
  planHash @2 :Data;              # 32 bytes: the plan that was approved
  outageMaxS @3 :UInt32;          # seconds
  pauseBeforeActivate @4 :Bool;   # pause by itself once the target is verified
}

struct CutoverStarted {
  by @0 :Text;
  run @1 :UInt32;            # of this cutover; only rises
  token @2 :Data;            # 16 bytes, random: names the fence of this run
  deadlineMicros @3 :Int64;  # after it, before Activate, rollback starts by itself
}

struct DeltaDrained {
  batch @0 :UInt64;  # number of the last batch, from the source agent
  bytes @1 :UInt64;  # payload of the drain
  bytesReadBack @2 :UInt64;    # of all that was written to the target for this copy
  bytesDiffered @3 :UInt64;    # of those, and sent again
  bytesUnverified @4 :UInt64;  # not read back, because the target cannot
  byInduction @5 :Bool;        # the proof by induction will do
}

struct ValidationWaived {
  by @0 :Text;
  reason @1 :Text;  # free text, never empty
}

enum RollbackMode { discard @0; keep @1; }

struct RollbackStarted {
  mode @0 :RollbackMode;
  by @1 :Text;
  cause @2 :Text;             # "operator" or "outage deadline"
  acknowledgedLoss @3 :Text;  # what the person typed; empty when nothing could be lost
}

struct ReverseAbandoned {
  by @0 :Text;
  acknowledgedLoss @1 :Text;  # what the person typed
}

struct ResyncStarted {
  by @0 :Text;
  run @1 :UInt32;             # only rises
  acknowledgedLoss @2 :Text;  # what the person typed; empty when nothing could be lost
}

struct PreflightChecked {
  side @0 :Agent.Side;
  result @1 :Agent.PreflightDone;  # as the agent reported it
}

struct Paused {
  by @0 :Text;
  reason @1 :Text;  # free text
}

struct Parked {
  step @0 :Agent.EffectKind;  # the step at which the job stands
  error @1 :Agent.Fault;
}

struct LimitsChanged {
  by @0 :Text;
  limits @1 :Agent.Limits;
}

struct RetryStarted {
  by @0 :Text;
  attempt @1 :UInt32;  # counts in one phase
}

struct DataStateChanged {
  state @0 :Agent.DataState;
  generation @1 :Data;     # 16 bytes
  backlogBytes @2 :UInt64; # when the state changed
}

struct GenerationLost {
  disk @0 :UInt32;  # index into the job's disks
  cause @1 :Text;   # free text from the agent
}

struct TargetStopConfirmed {
  by @0 :Text;
  how @1 :Text;  # free text: how the target was stopped
}

struct TargetDeactivated {
  wasActive @0 :Bool;
  bytesWritten @1 :UInt64;  # on the target's disks since activation
  changesKnown @2 :Bool;    # its change map is exact
  changedBytes @3 :UInt64;  # by that map
}

struct CommandRejected {
  by @0 :Text;
  action @1 :Text;  # for example "cutover"
  id @2 :Text;      # stable identifier of the refusal
  detail @3 :Text;  # free text
}

struct Verdict {
  # A person ended a job after a restore.
  by @0 :Text;
  reason @1 :Text;  # free text, never empty
}

struct Event {
  union {
    jobPlanned @0 :JobPlanned;
    preflightPassed :group { planHash @1 :Data; }             # 32 bytes
    preflightFailed :group { findings @2 :List(Agent.Finding); }  # <= 256
    mirrorStarted @3 :Deed;
    mirrorCompleted :group { generation @4 :Data; }           # 16 bytes
    testStarted @5 :Deed;
    testReverted @6 :Void;
    cutoverArmed @7 :CutoverArmed;
    disarmed @8 :Deed;
    cutoverStarted @9 :CutoverStarted;
    sourceFenced @10 :Agent.FenceProof;
    fenceRefused :group { backlogBytes @11 :UInt64; }
    deltaDrained @12 :DeltaDrained;
    targetVerified :group { disks @13 :List(Agent.DiskProof); }   # <= 32, in the job's order
    mismatchFound :group { ranges @14 :List(Agent.ByteRange); }   # <= 256
    targetActivated :group { activatedMicros @15 :Int64; }    # target's clock
    targetValidated :group { check @16 :Text; }               # what was checked
    validationWaived @17 :ValidationWaived;
    committed @18 :Deed;
    rollbackStarted @19 :RollbackStarted;
    sourceReleased :group { releasedMicros @20 :Int64; }      # source's clock
    targetFenced @21 :Void;
    reverseDrained :group { bytes @22 :UInt64; }
    reverseVerified :group { disks @23 :List(Agent.DiskProof); }  # <= 32, in the job's order
    reverseAbandoned @24 :ReverseAbandoned;
    resyncStarted @25 :ResyncStarted;
    cancelled @26 :Deed;
    preflightChecked @27 :PreflightChecked;
    paused @28 :Paused;
    resumed @29 :Deed;
    parked @30 :Parked;
    unparked @31 :Deed;
    quarantined :group { reason @32 :Text; }                  # free text
    quarantineLifted @33 :Deed;
    limitsChanged @34 :LimitsChanged;
    retryStarted @35 :RetryStarted;
    dataStateChanged @36 :DataStateChanged;
    generationLost @37 :GenerationLost;
    activationFailed @38 :Agent.Fault;
    validationFailed @39 :Agent.Fault;
    deadlinePassed :group { deadlineMicros @40 :Int64; }
    agentLost @41 :OfSide;
    agentBack @42 :OfSide;
    targetStopConfirmed @43 :TargetStopConfirmed;
    targetDeactivated @44 :TargetDeactivated;
    fenceBreached :group { completions @45 :UInt64; }         # writes that completed under the fence
    fenceBroken @46 :Deed;
    cleanedUp @47 :OfSide;
    deletionStarted @48 :Deed;
    targetDataDeleted @49 :Void;
    commandRejected @50 :CommandRejected;
    reconcileStarted :group { oldHeadSeq @51 :UInt64; }       # the last event the log has
    worldSeen @52 :Agent.JobWorld;                            # as the agent reported it
    reconciled @53 :Void;
    resolvedToTarget @54 :Verdict;
    resolvedToSource @55 :Verdict;
    resolvedToNeither @56 :Verdict;
    testReady @57 :Agent.StartTestDone;                       # as the agent reported it
    testRevertStarted @58 :Deed;
    holdCompared :group {
      disks @59 :List(Agent.DiskProof);                       # <= 32, in the job's order
      written @60 :List(Agent.ByteRange);                     # <= 256
    }
    copyDiffers :group { ranges @61 :List(Agent.ByteRange); }  # <= 256
    comparisonWaived @62 :Verdict;
  }
}
