/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region's disk: the store in memory (index/store_mem.c) with the time that a sync takes, and faults. What is committed
 * survives a crash, nothing else does. A process that crashed keeps what it sees of the disk, and changes it no more.
 */
#pragma once

#include "index/store.h"
#include "tests/index/random.h"
#include "tests/sim/fiber.h"

struct disk;

struct disk_faults {
	uint64_t sync_ns_min, sync_ns_max;
	unsigned stall;       /* of a thousand commits, take sync_stall_ns */
	uint64_t stall_ns;
	unsigned broken;      /* of a thousand commits, fail; whether they are on disk is open */
	unsigned full;        /* likewise, find no space; they are not */
	unsigned break_at;    /* the commit of that number from now fails, whatever else; 0: none */
	bool spared;          /* neither, for now: a process that cannot start is started again, and has seen nothing */
};

/* Told of each commit that is on disk now, before the process is. */
typedef void (*disk_written_fn)(void *ctx, struct store *store);

struct disk *disk_new(uint32_t region, uint64_t seed, disk_written_fn written, void *ctx);
/* Nobody has it open. */
void disk_free(struct disk *d);
struct disk_faults *disk_faults(struct disk *d);
/* What is on it, to look at. */
struct store *disk_content(struct disk *d);

/* For one process at a time. Closing it is the end of that process. */
struct store *disk_open(struct disk *d);
/* The process that has it open dies at this moment. */
void disk_crash(struct disk *d);
/* Nobody has it open: an empty one in its place; its content as it was, to put back later. */
void disk_wipe(struct disk *d);
struct store *disk_copy(struct disk *d);
void disk_restore(struct disk *d, struct store *content);
