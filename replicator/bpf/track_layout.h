/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and the agent share: the values of the maps `counters` and `control`.
 * Plain C, included by both. A change of meaning or layout needs a new TRACK_LAYOUT, because pinned
 * maps outlive the agent that made them.
 */
#pragma once

#define TRACK_LAYOUT 1U

/* log2 of bytes a block, and of blocks a map word. */
#define TRACK_BLOCK_SHIFT 12
#define TRACK_SECTOR_SHIFT 9

/* One element, written by the programs only, with atomic additions. Sectors of 512 bytes. */
struct track_counters {
    /* by block_rq_complete, in this order, after the bits of the range are set */
    unsigned long long completed_written;
    unsigned long long completed_discarded;
    unsigned long long seq;
    unsigned long long passthrough; /* write commands that do not say where they write */
    unsigned long long
        out_of_bounds; /* ranges past the end that was tracked, or too long to walk */
    unsigned long long reserved[3];
    /* by block_rq_issue, before the bits of the range are set; on a cache line of its own */
    unsigned long long issued_written;
    unsigned long long issued_discarded;
    unsigned long long issues;
    unsigned long long reserved_issue[5];
};

/* One element, written by the agent only. The programs read issue_side. */
struct track_control {
    unsigned int layout;
    unsigned int issue_side; /* which of issued_a (0) and issued_b (1) is being marked */
    unsigned char generation[16];
    /* The audit's ledger, see replicator/audit_ledger.h. Sectors. */
    unsigned long long base_written;
    unsigned long long base_discarded;
    unsigned long long lost_written;
    unsigned long long lost_discarded;
    unsigned long long passthrough_seen;
    unsigned long long out_of_bounds_seen;
    unsigned long long drift;
    unsigned long long drift_known;
    unsigned long long window_lost;
    unsigned long long window_issue_lost;
    unsigned long long repairs;
};
