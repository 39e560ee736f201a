/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One dense vector of one shard: its slot file, which slot belongs to which row, the tail and the segments.
 *
 * A slot is live while a visible row has it. Its home is the tail, or the segment that indexes it, dead or live.
 * A slot is used again only when the committer has given it back and neither a segment nor a build knows it: what
 * a graph was built from never changes under it.
 *
 * Thread: the shard's lock guards all fields but those of the committer; "exclusive" and "shared" below
 * say how it is held.
 */
#pragma once

#include "index/collection.h"
#include "index/manifest.h"
#include "index/segment.h"
#include "index/tail.h"

#define DENSE_SEGMENTS_MAX 8
#define DENSE_NEVER UINT32_MAX
#define DENSE_PATH_MAX 4096
#define ROW_NONE UINT32_MAX

struct dense_options {
	const char *dir; /* the shard's folder; NULL: in memory, without segments */
	uint32_t index;  /* of the vector in the config; names the files */
	uint32_t dim;
	enum distance distance;
	struct hnsw_config hnsw;
	uint32_t tail_max; /* vectors; a longer tail is due to become a segment. DENSE_NEVER */
	unsigned build_threads;
};

enum { SLOT_PINNED = 1, SLOT_FREED = 2, SLOT_REFERRED = 4 };

struct slot_state {
	uint32_t row;  /* ROW_NONE: dead */
	uint16_t home; /* 0: the tail */
	uint16_t flags;
};

struct dense_segment {
	struct segment *segment;
	uint64_t number; /* of the file */
	uint64_t file_bytes;
	uint32_t live;
	uint16_t home;
};

struct dense {
	struct dense_options options;
	char *dir;
	struct slots *slots; /* adding and freeing: the committer */
	struct slot_state *states;
	uint32_t state_count;
	uint32_t *row_slots; /* row -> live slot or SLOT_NONE */
	uint32_t row_count;
	uint32_t live;
	struct tail tail;
	struct dense_segment segments[DENSE_SEGMENTS_MAX + 1];
	uint32_t segment_count;
	uint64_t next_number;
	bool building;
	uint64_t retry_ns;  /* no build before; 0 unless one failed */
	uint32_t *released; /* slots that the committer may free */
	uint32_t released_count, released_cap;
	bool manifest_stale; /* a segment was refused at start */
	bool rebuilt;        /* at start; the header of the slot file */
	uint32_t proved,
		disproved; /* at start, when that header is lost: values of rows that fit their hash */
};

/* --- start and end: nobody else knows it --- */

/* dir is copied and must exist. A damaged segment is left out: its slots are the tail's. */
MUST_USE enum err dense_open(const struct dense_options *o, struct dense **ret_dense,
			     struct fault *reterr_fault);
void dense_close(struct dense *d, bool remove);
/* Frees all but the slots, and deletes the segments. NULL is fine. */
void dense_hollow(struct dense *d);
/* At start, in memory only: what the slot held before. Slots come in ascending order. */
MUST_USE enum err dense_restore(struct dense *d, uint32_t slot, const void *record);
/* At start: a row or a record of the log refers to the slot. hash: of its values as the row has it; NULL: not known. */
MUST_USE enum err dense_mark(struct dense *d, uint32_t slot, const uint64_t *hash,
			     struct fault *reterr_fault);
/* At start, after all marks. A slot file whose header is lost gets a new one, unless most of what rows refer to is not
 * theirs: ERR_CORRUPT. */
MUST_USE enum err dense_start(struct dense *d, struct fault *reterr_fault);

/* --- the committer --- */

MUST_USE enum err dense_add(struct dense *d, const float *values, uint32_t *ret_slot,
			    struct fault *reterr_fault);
/* Exclusive. Room for rows below row_count and, among them, `more` new live slots. */
MUST_USE enum err dense_reserve(struct dense *d, uint32_t row_count, uint32_t more);
/* Exclusive. The row's live slot from here on; SLOT_NONE: none. */
void dense_set(struct dense *d, uint32_t row, uint32_t slot);
/* Exclusive. Given back: nothing durable refers to it. */
void dense_give_back(struct dense *d, uint32_t slot);
/* Exclusive. Frees what builds and segments held until now. */
void dense_free_released(struct dense *d);
/* Exclusive. */
void dense_configure(struct dense *d, const struct hnsw_config *hnsw, uint32_t tail_max);

/* --- any thread, shared --- */

static inline const float *dense_values(const struct dense *d, uint32_t slot)
{
	return d->slots->ops->at(d->slots, slot);
}
static inline uint32_t dense_slot_of(const struct dense *d, uint32_t row)
{
	return row < d->row_count ? d->row_slots[row] : SLOT_NONE;
}
/* The live row of a slot whose home this is, or ROW_NONE. */
static inline uint32_t dense_row_of(const struct dense *d, uint32_t slot, uint16_t home)
{
	if (slot >= d->state_count || d->states[slot].home != home)
		return ROW_NONE;
	return d->states[slot].row;
}
uint32_t dense_indexed(const struct dense *d);
uint64_t dense_disk_bytes(const struct dense *d);
uint64_t dense_memory_bytes(const struct dense *d);
/* Is there something to build? Says yes also while it waits after a failure. */
bool dense_due(const struct dense *d);

/* --- building: dense_build.c --- */

struct dense_input {
	uint32_t slot;
	uint64_t id_hash;
};

struct dense_build {
	struct dense *dense;
	struct hnsw_config hnsw;
	struct dense_input *inputs; /* the new segment's; none: the old ones are given up */
	uint32_t count;
	uint64_t number;
	uint16_t replaced[DENSE_SEGMENTS_MAX + 1];
	uint32_t replaced_count;
	struct segment *segment; /* the new one */
	uint64_t file_bytes;
	struct dense_segment gone[DENSE_SEGMENTS_MAX + 1];
	uint32_t gone_count;
};

/* Exclusive. Chooses what to build; afterwards dense_build_end must follow. */
MUST_USE enum err dense_build_begin(struct dense *d,
				    uint64_t (*id_hash)(const void *ctx, uint32_t row),
				    const void *ctx, struct dense_build *ret_build);
/* Without the lock. Builds the segment and writes the manifest. */
MUST_USE enum err dense_build_run(struct dense_build *b, const atomic_bool *cancel,
				  struct fault *reterr_fault);
/* Exclusive. built: the run succeeded. */
void dense_build_end(struct dense_build *b, bool built);
/* Without the lock. Closes and deletes what was replaced. */
void dense_build_release(struct dense_build *b);

void dense_segment_path(const struct dense *d, uint64_t number, char out[DENSE_PATH_MAX]);
void dense_manifest_path(const struct dense *d, char out[DENSE_PATH_MAX]);
struct segment_source dense_source(const struct dense *d);
/* Exclusive, or at start. */
void dense_adopt(struct dense *d, struct segment *segment, uint64_t number, uint64_t file_bytes);
