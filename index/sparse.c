/* SPDX-License-Identifier: Apache-2.0 */
#include "index/sparse.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Rows scored together: sums and marks of a window stay in the second-level cache. */
#define WINDOW_ROWS 16384u
#define TABLE_FIRST 64u

struct posting {
	uint32_t row;
	float weight;
};

struct postings {
	struct posting *items;
	uint32_t count, cap;
	uint32_t dimension;
	bool used;
};

struct sparse {
	struct postings *table; /* open addressing, linear; cap is a power of two */
	uint32_t cap, used;
	struct rowset rows; /* that have a vector */
	uint64_t postings_cap; /* sum of caps, for the memory figure */
};

enum err sparse_new(struct sparse **ret_sparse)
{
	struct sparse *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NO_MEMORY;
	*ret_sparse = s;
	return ERR_NONE;
}

void sparse_free(struct sparse *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->cap; i++)
		free(s->table[i].items);
	free(s->table);
	rowset_release(&s->rows);
	free(s);
}

static uint32_t place_of(const struct sparse *s, uint32_t dimension)
{
	uint32_t at = (uint32_t)hash64(&dimension, sizeof(dimension), 0) & (s->cap - 1);

	while (s->table[at].used && s->table[at].dimension != dimension)
		at = (at + 1) & (s->cap - 1);
	return at;
}

static struct postings *find(const struct sparse *s, uint32_t dimension)
{
	if (s->cap == 0)
		return NULL;
	struct postings *p = &s->table[place_of(s, dimension)];

	return p->used ? p : NULL;
}

static enum err table_grow(struct sparse *s)
{
	struct sparse next = { .cap = s->cap ? s->cap * 2 : TABLE_FIRST };

	next.table = calloc(next.cap, sizeof(*next.table));
	if (!next.table)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < s->cap; i++)
		if (s->table[i].used)
			next.table[place_of(&next, s->table[i].dimension)] = s->table[i];
	free(s->table);
	s->table = next.table;
	s->cap = next.cap;
	return ERR_NONE;
}

static enum err find_or_make(struct sparse *s, uint32_t dimension, struct postings **ret_postings)
{
	if ((uint64_t)s->used * 4 >= (uint64_t)s->cap * 3) {
		enum err e = table_grow(s);

		if (e)
			return e;
	}
	struct postings *p = &s->table[place_of(s, dimension)];

	if (!p->used) {
		*p = (struct postings){ .dimension = dimension, .used = true };
		s->used++;
	}
	*ret_postings = p;
	return ERR_NONE;
}

/* Index of the first posting with that row or a later one, from `from` on. */
static uint32_t seek(const struct postings *p, uint32_t from, uint32_t row)
{
	uint32_t to = p->count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (p->items[mid].row < row)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static enum err posting_set(struct sparse *s, uint32_t dimension, uint32_t row, float weight)
{
	struct postings *p;
	enum err e = find_or_make(s, dimension, &p);

	if (e)
		return e;
	uint32_t at = seek(p, 0, row);

	if (at < p->count && p->items[at].row == row) {
		p->items[at].weight = weight;
		return ERR_NONE;
	}
	if (p->count == p->cap) {
		uint32_t cap = p->cap ? p->cap + p->cap / 2 + 1 : 4;
		struct posting *items = reallocarray(p->items, cap, sizeof(*items));

		if (!items)
			return ERR_NO_MEMORY;
		s->postings_cap += cap - p->cap;
		p->items = items;
		p->cap = cap;
	}
	memmove(p->items + at + 1, p->items + at, (p->count - at) * sizeof(*p->items));
	p->items[at] = (struct posting){ .row = row, .weight = weight };
	p->count++;
	return ERR_NONE;
}

/* An empty list keeps its place: dimensions come back. */
static void posting_remove(struct sparse *s, uint32_t dimension, uint32_t row)
{
	struct postings *p = find(s, dimension);

	if (!p)
		return;
	uint32_t at = seek(p, 0, row);

	if (at == p->count || p->items[at].row != row)
		return;
	memmove(p->items + at, p->items + at + 1, (p->count - at - 1) * sizeof(*p->items));
	p->count--;
}

static bool has_dimension(const struct vector *v, uint32_t dimension)
{
	uint32_t from = 0, to = v->count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (v->indices[mid] < dimension)
			from = mid + 1;
		else
			to = mid;
	}
	return from < v->count && v->indices[from] == dimension;
}

enum err sparse_change(struct sparse *s, uint32_t row, const struct vector *before,
		       const struct vector *after)
{
	if (after) {
		enum err e = rowset_add(&s->rows, row);

		if (e)
			return e;
	} else {
		rowset_remove(&s->rows, row);
	}
	for (uint32_t i = 0; after && i < after->count; i++) {
		enum err e = posting_set(s, after->indices[i], row, after->values[i]);

		if (e)
			return e;
	}
	for (uint32_t i = 0; before && i < before->count; i++)
		if (!after || !has_dimension(after, before->indices[i]))
			posting_remove(s, before->indices[i], row);
	return ERR_NONE;
}

uint64_t sparse_count(const struct sparse *s)
{
	return rowset_count(&s->rows);
}

bool sparse_has(const struct sparse *s, uint32_t row)
{
	return rowset_has(&s->rows, row);
}

size_t sparse_memory(const struct sparse *s)
{
	return s->cap * sizeof(*s->table) + s->postings_cap * sizeof(struct posting) + rowset_memory(&s->rows);
}

void sparse_dots(const struct sparse *s, const struct vector *query, uint32_t first, uint32_t count, double *sums)
{
	memset(sums, 0, count * sizeof(*sums));
	for (uint32_t i = 0; i < query->count; i++) {
		const struct postings *list = find(s, query->indices[i]);

		if (!list)
			continue;
		for (uint32_t at = seek(list, 0, first); at < list->count && list->items[at].row - first < count; at++)
			sums[list->items[at].row - first] += (double)query->values[i] * (double)list->items[at].weight;
	}
}

struct cursor {
	const struct postings *list;
	double weight;
	uint32_t at;
};

struct walk {
	struct cursor *cursors;
	uint32_t count;
	double *sums;      /* WINDOW_ROWS */
	uint64_t *touched; /* WINDOW_ROWS bits */
};

static void walk_release(struct walk *w)
{
	free(w->cursors);
	free(w->sums);
	free(w->touched);
}

static enum err walk_init(struct walk *w, const struct sparse *s, const struct vector *query)
{
	*w = (struct walk){
		.cursors = calloc((size_t)query->count + 1, sizeof(*w->cursors)),
		.sums = calloc(WINDOW_ROWS, sizeof(*w->sums)),
		.touched = calloc(WINDOW_ROWS / 64, sizeof(*w->touched)),
	};
	if (!w->cursors || !w->sums || !w->touched)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < query->count; i++) {
		const struct postings *list = find(s, query->indices[i]);

		if (list && list->count)
			w->cursors[w->count++] =
				(struct cursor){ .list = list, .weight = (double)query->values[i] };
	}
	return ERR_NONE;
}

/* The lowest row that no window has covered; false at the end. */
static bool walk_next_row(const struct walk *w, uint32_t *ret_row)
{
	bool found = false;

	for (uint32_t i = 0; i < w->count; i++) {
		const struct cursor *c = &w->cursors[i];

		if (c->at == c->list->count)
			continue;
		uint32_t row = c->list->items[c->at].row;

		if (!found || row < *ret_row)
			*ret_row = row;
		found = true;
	}
	return found;
}

static void walk_sum(struct walk *w, uint32_t first)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct cursor *c = &w->cursors[i];

		for (; c->at < c->list->count; c->at++) {
			const struct posting *p = &c->list->items[c->at];
			uint32_t at = p->row - first;

			if (at >= WINDOW_ROWS)
				break;
			w->sums[at] += c->weight * (double)p->weight;
			w->touched[at / 64] |= 1ull << (at % 64);
		}
	}
}

/* Offers the window's rows and leaves it clean. */
static enum err walk_offer(struct walk *w, uint32_t first, const struct sparse_query *q,
			   struct topk *out)
{
	for (uint32_t word = 0; word < WINDOW_ROWS / 64; word++) {
		for (uint64_t left = w->touched[word]; left; left &= left - 1) {
			uint32_t at = word * 64 + (uint32_t)__builtin_ctzll(left);
			struct hit hit = { .row = first + at, .similarity = (float)w->sums[at] };
			bool accept = false;

			w->sums[at] = 0;
			if (!topk_wants(out, hit.similarity))
				continue;
			enum err e = q->accept(q->ctx, hit.row, &accept, &hit.id);

			if (e)
				return e;
			if (accept)
				topk_offer(out, hit);
		}
		w->touched[word] = 0;
	}
	return ERR_NONE;
}

uint32_t sparse_having(const struct sparse *s, uint32_t dimension)
{
	const struct postings *list = find(s, dimension);

	return list ? list->count : 0;
}

enum err sparse_search(const struct sparse *s, const struct sparse_query *q, struct topk *out)
{
	CLEANUP(walk_release) struct walk w;
	enum err e = walk_init(&w, s, q->vector);
	uint32_t first = 0;

	if (e)
		return e;
	while (walk_next_row(&w, &first)) {
		e = deadline_check(&q->deadline);
		if (e)
			return e;
		walk_sum(&w, first);
		e = walk_offer(&w, first, q, out);
		if (e)
			return e;
	}
	return ERR_NONE;
}
