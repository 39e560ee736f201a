/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Immutable segments: an HNSW graph (Malkov & Yashunin, arXiv:1603.09320) over int8 codes, re-ranked with
 * the f32 vectors of the slot file. Built in the background, kept in one checksummed, memory-mapped file;
 * a lost or damaged file costs a rebuild, no data. The same slots in the same order with the same hashes
 * give the same file, byte for byte.
 * Thread: build on a builder; search from any thread at once.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "index/distance.h"

/* Where the vectors lie. Called often, from many threads, must be cheap; pointers stay valid as long as
 * the segment or the build does. */
struct segment_source {
	const float *(*vector)(const struct segment_source *s, uint32_t slot);
	uint32_t dim;
	enum distance distance;
	const void *ctx;            /* the callback's: segment_open copies the struct */
};

struct segment_build_options {
	uint32_t m;                 /* links per node above the base layer; the base layer has 2 m */
	uint32_t ef_construct;
	unsigned threads;           /* the result does not depend on it */
	const atomic_bool *cancel;  /* may be NULL; set: the build ends with ERR_CANCELLED */
	atomic_uint *progress;      /* may be NULL; slots done */
};

/* slots[i] has id hash id_hashes[i] (gives the node's level). Writes to path via a temporary file, fsyncs, renames. */
MUST_USE enum err segment_build(const struct segment_source *source, const uint32_t *slots,
				const uint64_t *id_hashes, uint32_t count,
				const struct segment_build_options *options, const char *path,
				struct fault *reterr_fault);

struct segment;
/* Maps and checks the file: ERR_CORRUPT (damaged or foreign), ERR_VERSION, ERR_NOT_FOUND. source is copied. */
MUST_USE enum err segment_open(const char *path, const struct segment_source *source,
			       struct segment **ret_segment, struct fault *reterr_fault);
void segment_close(struct segment *s);

uint32_t segment_count(const struct segment *s);
/* The slots it indexes, in build order. */
const uint32_t *segment_slots(const struct segment *s);
size_t segment_memory_bytes(const struct segment *s);

/* similarity: see distance.h. */
struct candidate {
	float similarity;
	uint32_t slot;
};

struct segment_query {
	const float *vector;   /* dim floats, normalised already where the distance wants it */
	uint32_t k;
	uint32_t ef;           /* >= k is used */
	/* May this slot be an answer? Called during the walk; NULL: all may. */
	bool (*accept)(void *ctx, uint32_t slot);
	void *ctx;
	uint64_t deadline_ns;        /* mono clock; 0 = none. Late: ERR_TIMEOUT */
	const atomic_bool *cancel;   /* may be NULL */
};
/* Up to k nearest accepted slots, nearest first, re-ranked in f32; *ret_count says how many. */
MUST_USE enum err segment_search(const struct segment *s, const struct segment_query *q,
				 struct candidate *out, uint32_t *ret_count);
