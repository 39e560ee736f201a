/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching a shard by a score that is made of several similarities. Graphs lead to what is near one vector, and the best by
 * such a score may be near none of them: every row that has the vector is compared.
 */
#include "index/scoring.h"
#include "index/shard.h"

#include <stdlib.h>

/* Comparisons between two looks at the clock. */
#define CHECK_EVERY 1024u
/* Rows whose sparse sums are taken together. */
#define WINDOW_ROWS 1024u

struct score_search {
	struct shard_reader *reader;
	const struct shard_query *q;
	struct topk *top;
	float *similarities; /* one an example */
	uint32_t done;       /* comparisons */
	enum err err;
};

static bool failed(const struct score_search *s)
{
	return s->err || s->reader->err;
}

/* The next row that may match, from *row on. */
static bool next_row(const struct score_search *s, uint32_t rows, uint32_t *row)
{
	const struct plan *plan = &s->reader->plan;

	return plan->known ? row_bits_next(&plan->rows, row) && *row < rows : *row < rows;
}

/* By s->similarities. */
static void offer(struct score_search *s, uint32_t row)
{
	struct shard *shard = s->reader->shard;
	float score = scoring_score(s->q->scoring, s->similarities);

	s->done += s->q->scoring->count;
	if (s->done >= CHECK_EVERY) {
		s->err = deadline_check(&s->q->q->deadline);
		s->done = 0;
	}
	if (topk_wants(s->top, score) && shard->rows[row].visible &&
	    shard_read_accepts(s->reader, row))
		topk_offer(s->top, (struct hit){ .id = row_state_id(&shard->rows[row]),
						 .row = row,
						 .similarity = score });
}

/* --- dense --- */

static void compare_dense(struct score_search *s, const struct dense *d, const float *values)
{
	const struct scoring *scoring = s->q->scoring;
	distance_f32_fn similarity = distance_f32(d->options.distance);

	for (uint32_t i = 0; i < scoring->count; i++) {
		const float *example = scoring->examples[i].values;

		s->similarities[i] = s->q->q->exact ? distance_exact(d->options.distance, example,
								     values, d->options.dim)
						    : similarity(example, values, d->options.dim);
	}
}

static void score_dense(struct score_search *s, const struct dense *d)
{
	uint32_t rows = MIN(s->reader->shard->row_count, d->row_count);

	for (uint32_t row = 0; !failed(s) && next_row(s, rows, &row); row++) {
		uint32_t slot = dense_slot_of(d, row);

		if (slot == SLOT_NONE)
			continue;
		compare_dense(s, d, dense_values(d, slot));
		offer(s, row);
	}
}

/* --- sparse --- */

static void score_window(struct score_search *s, const struct sparse *sparse, uint32_t first,
			 uint32_t count, const double *sums)
{
	for (uint32_t row = first; !failed(s) && next_row(s, first + count, &row); row++) {
		if (!sparse_has(sparse, row))
			continue;
		for (uint32_t i = 0; i < s->q->scoring->count; i++)
			s->similarities[i] = (float)sums[(size_t)i * WINDOW_ROWS + (row - first)];
		offer(s, row);
	}
}

static void score_sparse(struct score_search *s, const struct sparse *sparse)
{
	const struct scoring *scoring = s->q->scoring;
	uint32_t rows = s->reader->shard->row_count;
	double *sums = calloc((size_t)scoring->count * WINDOW_ROWS + 1, sizeof(*sums));

	if (!sums)
		s->err = ERR_NO_MEMORY;
	for (uint32_t first = 0; !failed(s) && next_row(s, rows, &first); first += WINDOW_ROWS) {
		uint32_t count = MIN(WINDOW_ROWS, rows - first);

		s->err = deadline_check(&s->q->q->deadline);
		for (uint32_t i = 0; i < scoring->count; i++)
			sparse_dots(sparse, &scoring->examples[i], first, count,
				    sums + (size_t)i * WINDOW_ROWS);
		score_window(s, sparse, first, count, sums);
	}
	free(sums);
}

/* --- multi --- */

static void score_multi(struct score_search *s, const struct multi *multi)
{
	const struct scoring *scoring = s->q->scoring;

	for (uint32_t row = 0; !failed(s) && next_row(s, s->reader->shard->row_count, &row);
	     row++) {
		if (!multi_has(multi, row))
			continue;
		for (uint32_t i = 0; i < scoring->count; i++)
			s->similarities[i] =
				multi_similarity(multi, &scoring->examples[i], s->q->q->exact, row);
		offer(s, row);
	}
}

enum err shard_score(struct shard_reader *r, const struct shard_query *q, struct topk *top)
{
	const struct shard_vector *v = &r->shard->vectors[q->vector];
	struct score_search s = {
		.reader = r,
		.q = q,
		.top = top,
		.similarities = calloc((size_t)q->scoring->count + 1, sizeof(*s.similarities)),
	};

	if (!s.similarities)
		return ERR_NO_MEMORY;
	if (v->dense)
		score_dense(&s, v->dense);
	else if (v->multi)
		score_multi(&s, v->multi);
	else
		score_sparse(&s, v->sparse);
	free(s.similarities);
	return s.err ? s.err : r->err;
}
