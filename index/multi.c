/* SPDX-License-Identifier: Apache-2.0 */
#include "index/multi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Comparisons of two vectors between two looks at the clock. */
#define CHECK_EVERY 1024u

struct multi_row {
	float *values; /* NULL: none */
	uint32_t rows;
};

struct multi {
	uint32_t dim;
	enum distance distance;
	struct multi_row *items;
	uint32_t cap;
	uint64_t count;
	uint64_t floats;
};

enum err multi_new(const struct vector_config *config, struct multi **ret_multi)
{
	struct multi *m = calloc(1, sizeof(*m));

	if (!m)
		return ERR_NO_MEMORY;
	m->dim = config->dim;
	m->distance = vector_config_distance(config);
	*ret_multi = m;
	return ERR_NONE;
}

void multi_free(struct multi *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->cap; i++)
		free(m->items[i].values);
	free(m->items);
	free(m);
}

static enum err reserve(struct multi *m, uint32_t row)
{
	if (row < m->cap)
		return ERR_NONE;
	uint32_t cap = MAX(row + 1, MAX(m->cap * 2, 64));
	struct multi_row *items = reallocarray(m->items, cap, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = m->cap; i < cap; i++)
		items[i] = (struct multi_row){ 0 };
	m->items = items;
	m->cap = cap;
	return ERR_NONE;
}

enum err multi_set(struct multi *m, uint32_t row, const struct vector *v)
{
	float *copy = NULL;

	if (!v && row >= m->cap)
		return ERR_NONE;
	enum err e = reserve(m, row);

	if (!e && v) {
		copy = reallocarray(NULL, v->count, sizeof(*copy));
		e = copy ? ERR_NONE : ERR_NO_MEMORY;
	}
	if (e)
		return e;
	struct multi_row *item = &m->items[row];

	if (item->values) {
		m->count--;
		m->floats -= (uint64_t)item->rows * m->dim;
		free(TAKE(item->values));
	}
	if (!v)
		return ERR_NONE;
	memcpy(copy, v->values, v->count * sizeof(*copy));
	*item = (struct multi_row){ .values = copy, .rows = v->rows };
	m->count++;
	m->floats += v->count;
	return ERR_NONE;
}

uint64_t multi_count(const struct multi *m)
{
	return m->count;
}

size_t multi_memory(const struct multi *m)
{
	return m->cap * sizeof(*m->items) + m->floats * sizeof(float);
}

/* --- searching --- */

struct comparing {
	const struct multi *m;
	const struct multi_query *q;
	distance_f32_fn kernel;
	uint32_t done;
	enum err err;
};

static float compare_two(struct comparing *c, const float *a, const float *b)
{
	const struct multi *m = c->m;

	if (++c->done % CHECK_EVERY == 0 && !c->err)
		c->err = deadline_check(&c->q->deadline);
	return c->q->exact ? distance_exact(m->distance, a, b, m->dim) : c->kernel(a, b, m->dim);
}

static float similarity(struct comparing *c, const struct multi_row *row)
{
	const struct vector *q = c->q->vector;
	double sum = 0;

	for (uint32_t i = 0; i < q->rows && !c->err; i++) {
		float best = -INFINITY;
		for (uint32_t k = 0; k < row->rows; k++)
			best = fmaxf(best, compare_two(c, q->values + (size_t)i * c->m->dim,
						       row->values + (size_t)k * c->m->dim));
		sum += (double)best;
	}
	return (float)sum;
}

enum err multi_search(const struct multi *m, const struct multi_query *q, struct topk *out)
{
	struct comparing c = { .m = m, .q = q, .kernel = distance_f32(m->distance) };

	for (uint32_t row = 0; row < m->cap && !c.err; row++) {
		struct hit hit = { .row = row };
		bool accept = false;

		if (!m->items[row].values)
			continue;
		hit.similarity = similarity(&c, &m->items[row]);
		if (c.err || !topk_wants(out, hit.similarity))
			continue;
		c.err = q->accept(q->ctx, row, &accept, &hit.id);
		if (!c.err && accept)
			topk_offer(out, hit);
	}
	return c.err;
}

bool multi_has(const struct multi *m, uint32_t row)
{
	return row < m->cap && m->items[row].values;
}

float multi_similarity(const struct multi *m, const struct vector *query, bool exact, uint32_t row)
{
	const struct multi_query q = { .vector = query, .exact = exact };
	struct comparing c = { .m = m, .q = &q, .kernel = distance_f32(m->distance) };

	return similarity(&c, &m->items[row]);
}
