/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: Hierarchical Navigable Small World (Malkov & Yashunin, arXiv:1603.09320) over codes. A
 * node is a number below count, in build order. Links lie in flat rows on cache lines: one row for
 * each node in the base layer, and one for each node and level above it. Invariant of a built
 * graph: every node can be reached from the entry in the base layer. Thread: a build belongs to its
 * caller; a built graph is for any thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/pool.h"
#include "index/quantize.h"

#define HNSW_NONE UINT32_MAX
#define HNSW_COUNT_MAX 0x7fffffffU
#define HNSW_M_MIN 2
#define HNSW_M_MAX 128
#define HNSW_EF_CONSTRUCT_MAX 4096
/* Levels above the base layer. */
#define HNSW_LEVELS_MAX 16

/* A view; the segment or the build owns what it points to. */
struct hnsw {
	uint32_t count;
	uint32_t m;
	uint32_t entry;  /* HNSW_NONE when empty */
	uint32_t top;    /* level of the entry */
	uint32_t *links; /* count rows of hnsw_base_width() nodes, HNSW_NONE after the last */
	uint32_t *upper; /* rows of hnsw_upper_width() nodes, likewise */
	uint32_t
		*upper_at; /* count + 1: the first row of each node in upper; level 1 comes first */
};

/* Nodes in a row: filled up to whole cache lines. */
uint32_t hnsw_base_width(uint32_t m);
uint32_t hnsw_upper_width(uint32_t m);
/* Exponentially distributed, by whole numbers only: the same everywhere, for ever. */
uint32_t hnsw_level_for(uint64_t id_hash, uint32_t m);

static inline uint32_t hnsw_level(const struct hnsw *g, uint32_t node)
{
	return g->upper_at[node + 1] - g->upper_at[node];
}
/* The node must have that level. */
static inline uint32_t *hnsw_row(const struct hnsw *g, uint32_t node, uint32_t level)
{
	if (level == 0)
		return g->links + (size_t)node * hnsw_base_width(g->m);
	return g->upper + (size_t)(g->upper_at[node] + level - 1) * hnsw_upper_width(g->m);
}

/* Whether walks stay within a graph that was read from a disk, upper having upper_rows rows. */
bool hnsw_check(const struct hnsw *g, uint32_t upper_rows);

/* Links all nodes. The rows are HNSW_NONE and upper_at is set. The result does not depend on
 * pool, which may be NULL. */
struct hnsw_build_options {
	uint32_t ef_construct;
	struct pool *pool;
	const atomic_bool *cancel; /* may be NULL */
	atomic_uint *progress;     /* may be NULL; nodes linked */
};
MUST_USE enum err hnsw_build(struct hnsw *g, const struct codes *c,
			     const struct hnsw_build_options *options);

struct hnsw_found {
	float score; /* of the codes */
	uint32_t node;
};

/* What one walk needs, kept for the next one: nodes seen, nodes found, best first. */
struct hnsw_scratch {
	struct hnsw_scratch *next;
	uint8_t *marks; /* a node is marked when its byte equals epoch */
	uint32_t marks_count;
	uint8_t epoch;
	struct hnsw_found *found; /* sorted; the top bit of node says that it was expanded */
	uint32_t found_count, found_max, found_cap;
	uint32_t unexpanded;         /* no node before it is left to expand */
	struct hnsw_found *frontier; /* heap, best on top */
	uint32_t frontier_count;
	uint8_t *code; /* of the query */
	uint32_t steps;
};

/* Scratches of one graph: as many as there are walks at once, some of them kept. */
struct hnsw_scratches {
	pthread_mutex_t lock; /* free_list, kept */
	struct hnsw_scratch *free_list;
	uint32_t kept;
	uint32_t count;  /* nodes of the graph */
	uint32_t stride; /* of its codes */
};
/* NULL: no memory. */
MUST_USE struct hnsw_scratches *hnsw_scratches_new(uint32_t count, uint32_t stride);
void hnsw_scratches_free(struct hnsw_scratches *set);
/* NULL: no memory. */
MUST_USE struct hnsw_scratch *hnsw_scratch_take(struct hnsw_scratches *set);
void hnsw_scratch_give(struct hnsw_scratches *set, struct hnsw_scratch *s);
size_t hnsw_scratches_bytes(struct hnsw_scratches *set);

struct hnsw_walk {
	uint32_t ef; /* answers wanted, >= 1 */
	/* May the node with this slot be an answer? NULL: all may. Others are walked through all
	 * the same. */
	bool (*accept)(void *ctx, uint32_t slot);
	void *ctx;
	uint64_t deadline_ns;      /* mono clock; 0 = none */
	const atomic_bool *cancel; /* may be NULL */
};
/* Leaves up to ef accepted nodes in s->found, best first. ERR_TIMEOUT, ERR_CANCELLED,
 * ERR_NO_MEMORY. */
MUST_USE enum err hnsw_search(const struct hnsw *g, const struct code_query *q,
			      const struct hnsw_walk *w, struct hnsw_scratch *s);

/*
 * The steps of a walk, for builds.
 */
/* Forgets what was seen and found; at most max nodes will be kept. */
MUST_USE enum err hnsw_walk_begin(struct hnsw_scratch *s, uint32_t max);
void hnsw_walk_enter(const struct code_query *q, struct hnsw_scratch *s, uint32_t node);
/* Down from the top to just above level, always to the nearest node. */
void hnsw_walk_descend(const struct hnsw *g, const struct code_query *q, struct hnsw_scratch *s,
		       uint32_t level);
/* Expands all nodes found, and those found by it, in one level. */
void hnsw_walk_level(const struct hnsw *g, const struct code_query *q, struct hnsw_scratch *s,
		     uint32_t level);
