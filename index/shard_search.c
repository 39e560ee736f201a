/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching a shard. A few candidate rows are compared one by one; many are found by scanning the tail and
 * walking the graphs of the segments, where a filter decides which slots may be answers. When that finds
 * fewer than asked for, everything that may match is compared.
 */
#include "index/shard.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

/* Comparisons between two looks at the clock. */
#define CHECK_EVERY 1024u
/* An exact answer is chosen among so many more, by the kernel that is bit-equal everywhere. */
#define EXACT_MARGIN 32u
/* Comparisons that a walk makes for each answer that it keeps, when every node may be one. */
#define WALK_COST 4u

struct dense_search {
	struct shard *shard;
	struct dense *dense;
	const struct search_query *q;
	const float *vector;
	struct shard_reader *reader;
	distance_f32_fn similarity;
	struct topk *top;
	uint32_t done; /* comparisons */
	enum err err;
	uint16_t home; /* of the segment that is walked */
};

/* --- comparing --- */

static void compare(struct dense_search *d, uint32_t row, uint32_t slot)
{
	if (++d->done % CHECK_EVERY == 0)
		d->err = deadline_check(&d->q->deadline);
	float similarity =
		d->similarity(d->vector, dense_values(d->dense, slot), d->dense->options.dim);

	/* The filter comes last: reading a record costs more than comparing. */
	if (!topk_wants(d->top, similarity) || !shard_read_accepts(d->reader, row))
		return;
	topk_offer(d->top, (struct hit){ .id = row_state_id(&d->shard->rows[row]),
					 .row = row,
					 .similarity = similarity });
}

static bool failed(const struct dense_search *d)
{
	return d->err || d->reader->err;
}

/* All rows that may match. */
static void scan_rows(struct dense_search *d)
{
	const struct plan *plan = &d->reader->plan;
	uint32_t rows = MIN(d->shard->row_count, d->dense->row_count);

	d->top->count = 0;
	for (uint32_t row = 0; row < rows && !failed(d); row++) {
		if (plan->known && !row_bits_next(&plan->rows, &row))
			return;
		uint32_t slot = dense_slot_of(d->dense, row);

		if (slot != SLOT_NONE)
			compare(d, row, slot);
	}
}

static void scan_tail(struct dense_search *d)
{
	const struct tail *t = &d->dense->tail;

	for (uint32_t i = 0; i < t->count && !failed(d); i++)
		compare(d, d->dense->states[t->slots[i]].row, t->slots[i]);
}

/* --- walking --- */

static bool accept(void *ctx, uint32_t slot)
{
	struct dense_search *d = ctx;
	uint32_t row = dense_row_of(d->dense, slot, d->home);

	return row != ROW_NONE && !d->reader->err && shard_read_accepts(d->reader, row);
}

static uint32_t ef_of(const struct dense_search *d)
{
	uint32_t ef = d->q->hnsw_ef ? d->q->hnsw_ef : d->dense->options.hnsw.ef_construct;

	return MAX(ef, d->top->k);
}

static void walk_segment(struct dense_search *d, const struct dense_segment *s,
			 struct candidate *found)
{
	struct segment_query query = {
		.vector = d->vector,
		.k = d->top->k,
		.ef = ef_of(d),
		.accept = accept,
		.ctx = d,
		.deadline_ns = d->q->deadline.mono_ns,
		.cancel = d->q->deadline.cancel,
	};
	uint32_t count = 0;

	d->home = s->home;
	d->err = segment_search(s->segment, &query, found, &count);
	for (uint32_t i = 0; !d->err && i < count; i++) {
		uint32_t row = dense_row_of(d->dense, found[i].slot, s->home);

		ASSERT(row != ROW_NONE);
		topk_offer(d->top, (struct hit){ .id = row_state_id(&d->shard->rows[row]),
						 .row = row,
						 .similarity = found[i].similarity });
	}
}

static void walk_segments(struct dense_search *d)
{
	struct candidate *found = calloc((size_t)d->top->k + 1, sizeof(*found));

	if (!found)
		d->err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < d->dense->segment_count && !failed(d); i++)
		if (d->dense->segments[i].live)
			walk_segment(d, &d->dense->segments[i], found);
	free(found);
}

/* --- choosing --- */

/* Vectors that are compared rather than walked to. */
static uint32_t full_scan_vectors(const struct dense *d)
{
	return (uint32_t)MIN((uint64_t)d->options.hnsw.full_scan_threshold_kb * 1024 /
				     sizeof(float) / MAX(d->options.dim, 1u),
			     (uint64_t)UINT32_MAX);
}

/* A walk meets live / candidates nodes for each that it may keep. */
static bool prefers_scan(const struct dense_search *d)
{
	const struct plan *plan = &d->reader->plan;
	uint64_t candidates = plan->count;

	if (d->q->exact)
		return true;
	if (!plan->known)
		return false;
	return candidates <= full_scan_vectors(d->dense) || candidates <= d->dense->tail.count ||
	       candidates * candidates <= (uint64_t)WALK_COST * ef_of(d) * d->dense->live;
}

/* How many answers there can be. */
static uint32_t answers_max(const struct dense_search *d, bool with_tail)
{
	uint32_t n = with_tail ? d->dense->live : dense_indexed(d->dense);

	return d->reader->plan.known ? MIN(n, d->reader->plan.count) : n;
}

static void search_dense(struct dense_search *d)
{
	/* What only the indexed part is asked for is what a short tail is part of. */
	bool with_tail = !d->q->indexed_only || d->dense->tail.count <= d->dense->options.tail_max;

	if (prefers_scan(d) && (d->q->exact || with_tail)) {
		scan_rows(d);
		return;
	}
	if (with_tail)
		scan_tail(d);
	walk_segments(d);
	if (!failed(d) && with_tail && d->dense->segment_count &&
	    d->top->count < MIN(d->top->k, answers_max(d, with_tail)))
		scan_rows(d);
}

/* The same bits on every processor, and so the same answer. */
static void compare_exactly(const struct dense_search *d)
{
	const struct dense_options *o = &d->dense->options;

	for (uint32_t i = 0; i < d->top->count; i++) {
		struct hit *hit = &d->top->hits[i];

		hit->similarity = distance_exact(
			o->distance, d->vector,
			dense_values(d->dense, dense_slot_of(d->dense, hit->row)), o->dim);
	}
}

static enum err run_dense(struct shard_reader *r, const struct shard_query *q, struct topk *top)
{
	struct dense *dense = r->shard->vectors[q->vector].dense;
	struct dense_search d = {
		.shard = r->shard,
		.dense = dense,
		.q = q->q,
		.vector = q->dense,
		.reader = r,
		.similarity = distance_f32(dense->options.distance),
		.top = top,
	};

	search_dense(&d);
	if (!failed(&d) && q->q->exact)
		compare_exactly(&d);
	return d.err;
}

static enum err accept_row(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id)
{
	struct shard_reader *r = ctx;

	/* The number of a row that could not be read is there still. */
	*ret_accept = r->shard->rows[row].visible && shard_read_accepts(r, row);
	*ret_id = row_state_id(&r->shard->rows[row]);
	return r->err;
}

static enum err run_sparse(struct shard_reader *r, const struct shard_query *q, struct topk *top)
{
	struct sparse_query query = {
		.vector = q->sparse, .accept = accept_row, .ctx = r, .deadline = q->q->deadline
	};

	return sparse_search(r->shard->vectors[q->vector].sparse, &query, top);
}

static enum err run_multi(struct shard_reader *r, const struct shard_query *q, struct topk *top)
{
	struct multi_query query = { .vector = q->multi, .exact = q->q->exact, .accept = accept_row, .ctx = r,
				     .deadline = q->q->deadline };

	return multi_search(r->shard->vectors[q->vector].multi, &query, top);
}

enum err shard_search(struct shard *s, const struct shard_query *q, struct hit *hits,
		      uint64_t *versions, uint32_t *ret_count)
{
	CLEANUP(topk_release) struct topk top = { 0 };
	struct shard_reader r;
	bool dense = s->vectors[q->vector].dense != NULL;
	bool margin = dense && !q->scoring && q->q->exact;
	enum err e = shard_read_begin(s, q->q->filter, false, &q->q->deadline, &r);

	if (e)
		return e;
	/* No more than there is: what a client asks for must not size the memory. */
	uint64_t k = MIN((uint64_t)q->k + (margin ? EXACT_MARGIN : 0), s->visible);

	e = deadline_check(&q->q->deadline);
	if (!e)
		e = topk_init(&top, (uint32_t)k);
	if (!e && k && q->scoring)
		e = shard_score(&r, q, &top);
	else if (!e && k)
		e = dense			    ? run_dense(&r, q, &top)
		    : s->vectors[q->vector].multi ? run_multi(&r, q, &top)
						  : run_sparse(&r, q, &top);
	if (!e)
		e = r.err;
	if (!e) {
		topk_sort(&top);
		*ret_count = MIN(top.count, q->k);
		memcpy(hits, top.hits ? top.hits : hits, *ret_count * sizeof(*hits));
		for (uint32_t i = 0; i < *ret_count; i++)
			versions[i] = s->rows[hits[i].row].op_number;
	}
	shard_read_end(&r);
	atomic_fetch_add_explicit(&s->searches, 1, memory_order_relaxed);
	if (s->searches_series)
		metric_series_add(s->searches_series, 1);
	return e;
}
