/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which blocks of one disk were written, discarded or zeroed. One loaded copy tracks one disk.
 *
 *   block_rq_issue ────► counters, then bits in issued_a or issued_b       (repair only)
 *   block_rq_complete ─► bits in dirty, then counters, then seq
 *
 * block_rq_complete fires before the submitter learns of the completion and before the kernel's own
 * sector counters move. Hence: an acknowledged write is in `dirty`, and a lost event shows up as
 * the kernel's counters running ahead of ours. Positions are absolute on the whole disk and in
 * sectors of 512 bytes, for partitions, LVM and everything else above the disk too.
 */
#include "core_types.h"
#include "track_layout.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* enum req_op of include/linux/blk_types.h; odd values move data to the disk. */
enum { op_mask = 0xff, op_discard = 3, op_driver_first = 32 };

/* nvme merges at most 256 discards into one request; anything longer is counted, not guessed. */
enum { discards_max = 1024 };

enum { map_dirty, map_issued_a, map_issued_b };

const volatile __u32 disk_major;
const volatile __u32 disk_first_minor;
const volatile __u64 disk_blocks;

/* The agent sets max_entries of the three bit maps before loading. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} dirty SEC(".maps"), issued_a SEC(".maps"), issued_b SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct track_counters);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct track_control);
} control SEC(".maps");

struct block_range {
    __u64 first;
    __u64 last;
    __u32 map;
};

struct discard_walk {
    __u64 bio; /* an address only: read with bpf_core_read */
    __u32 map;
    __u32 out_of_bounds;
};

static __always_inline void or_bits(__u32 map, __u32 word, __u64 bits) {
    __u64* at;
    if (map == map_dirty)
        at = bpf_map_lookup_elem(&dirty, &word);
    else if (map == map_issued_a)
        at = bpf_map_lookup_elem(&issued_a, &word);
    else
        at = bpf_map_lookup_elem(&issued_b, &word);
    if (at) __sync_fetch_and_or(at, bits);
}

static long mark_word(__u32 step, void* context) {
    const struct block_range* range = context;
    const __u64 word = (range->first >> 6) + step;
    __u64 bits = ~0ULL;
    if (word == range->first >> 6) bits &= ~0ULL << (range->first & 63);
    if (word == range->last >> 6) bits &= ~0ULL >> (63 - (range->last & 63));
    or_bits(range->map, (__u32)word, bits);
    return 0;
}

/* Marks every block that the range touches. Returns 1 if part of it lies past the tracked end. */
static __always_inline __u32 mark(__u32 map, __u64 sector, __u64 bytes) {
    const __u32 shift = TRACK_BLOCK_SHIFT - TRACK_SECTOR_SHIFT;
    const __u64 sectors = (bytes + (1U << TRACK_SECTOR_SHIFT) - 1) >> TRACK_SECTOR_SHIFT;
    struct block_range range = {.first = sector >> shift, .map = map};
    __u32 outside = 0;
    __u64 words;
    if (sectors == 0) return 0;
    range.last = (sector + sectors - 1) >> shift;
    if (range.first >= disk_blocks) return 1;
    if (range.last >= disk_blocks) {
        range.last = disk_blocks - 1;
        outside = 1;
    }
    words = (range.last >> 6) - (range.first >> 6) + 1;
    if (words == 1)
        mark_word(0, &range);
    else
        bpf_loop((__u32)words, mark_word, &range, 0);
    return outside;
}

static long mark_discard(__u32 step, void* context) {
    struct discard_walk* walk = context;
    struct bio* bio = (struct bio*)(unsigned long)walk->bio;
    if (!bio) return 1;
    walk->out_of_bounds |=
        mark(walk->map, BPF_CORE_READ(bio, bi_iter.bi_sector), BPF_CORE_READ(bio, bi_iter.bi_size));
    walk->bio = (__u64)(unsigned long)BPF_CORE_READ(bio, bi_next);
    return 0;
}

/* The kernel merges discards that do not touch each other into one request, whose own position and
 * length then describe the wrong range; the bios describe the right ones. */
static __always_inline __u32 mark_request(__u32 map, struct request* rq, __u32 op, __u64 bytes) {
    struct discard_walk walk = {.bio = (__u64)(unsigned long)rq->bio, .map = map};
    if (op != op_discard || !walk.bio) return mark(map, rq->__sector, bytes);
    bpf_loop(discards_max, mark_discard, &walk, 0);
    return walk.out_of_bounds || walk.bio;
}

static __always_inline int is_tracked_disk(struct request* rq) {
    struct gendisk* disk = rq->q->disk;
    return disk && (__u32)disk->major == disk_major && (__u32)disk->first_minor == disk_first_minor;
}

/* With the old value used, this is a fetching addition: a full barrier on every architecture. */
static __always_inline void add_ordered(unsigned long long* counter, __u64 amount) {
    volatile __u64 before = __sync_fetch_and_add(counter, amount);
    (void)before;
}

/* The error code is not looked at: a failed write may have changed the disk. */
SEC("tp_btf/block_rq_complete")

int BPF_PROG(on_complete, struct request* rq, int error, unsigned int bytes) {
    const __u32 op = rq->cmd_flags & op_mask;
    const __u32 zero = 0;
    struct track_counters* count;
    if (!(op & 1) || !is_tracked_disk(rq)) return 0;
    count = bpf_map_lookup_elem(&counters, &zero);
    if (!count) return 0;
    if (op >= op_driver_first) {
        add_ordered(&count->passthrough, 1);
    } else {
        if (mark_request(map_dirty, rq, op, bytes)) add_ordered(&count->out_of_bounds, 1);
        if (op == op_discard)
            add_ordered(&count->completed_discarded, bytes >> TRACK_SECTOR_SHIFT);
        else
            add_ordered(&count->completed_written, bytes >> TRACK_SECTOR_SHIFT);
    }
    add_ordered(&count->seq, 1);
    return 0;
}

/* Counts first: once the agent sees as many issued as completed sectors, every later mark goes to
 * the side that the agent chose before it looked. */
SEC("tp_btf/block_rq_issue")

int BPF_PROG(on_issue, struct request* rq) {
    const __u32 op = rq->cmd_flags & op_mask;
    const __u32 zero = 0;
    struct track_counters* count;
    struct track_control* settings;
    __u64 bytes;
    if (!(op & 1) || op >= op_driver_first || !is_tracked_disk(rq)) return 0;
    count = bpf_map_lookup_elem(&counters, &zero);
    settings = bpf_map_lookup_elem(&control, &zero);
    if (!count || !settings) return 0;
    bytes = rq->__data_len;
    if (op == op_discard)
        add_ordered(&count->issued_discarded, bytes >> TRACK_SECTOR_SHIFT);
    else
        add_ordered(&count->issued_written, bytes >> TRACK_SECTOR_SHIFT);
    add_ordered(&count->issues, 1);
    if (*(volatile unsigned int*)&settings->issue_side == 0)
        mark_request(map_issued_a, rq, op, bytes);
    else
        mark_request(map_issued_b, rq, op, bytes);
    return 0;
}
