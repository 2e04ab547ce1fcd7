/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that block_track.bpf.c looks into, and of each only the members it reads.
 * preserve_access_index makes the loader find the real offsets in the running kernel's BTF (CO-RE),
 * so neither this header nor the build depends on a particular kernel.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u32 __wsum;

/* From the kernel's user-space interface, include/uapi/linux/bpf.h. */
enum { BPF_MAP_TYPE_ARRAY = 2 };

enum { BPF_F_MMAPABLE = 1U << 10 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct gendisk {
    int major;
    int first_minor;
};

struct request_queue {
    struct gendisk* disk; /* here since 5.16; bpf_loop, which is needed anyway, came with 5.17 */
};

struct bvec_iter {
    __u64 bi_sector;
    __u32 bi_size;
};

struct bio {
    struct bio* bi_next;
    struct bvec_iter bi_iter;
};

struct request {
    struct request_queue* q;
    __u32 cmd_flags;
    __u32 __data_len;
    __u64 __sector;
    struct bio* bio;
};

#pragma clang attribute pop
