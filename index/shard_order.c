/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points in the order of a value of their payload, or of chance. All that match are looked at; of the best so far twice as many
 * as asked for are kept.
 */
#include "index/shard.h"

#include "base/hash.h"
#include "index/datetime.h"

#include <stdlib.h>
#include <string.h>

/* Rows between two looks at the clock. */
#define CHECK_EVERY 256u
/* Of what was neither compared nor sorted by similarity. */
#define SCORE_NONE 1.0f

/* --- the order --- */

static int compare_integers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static double number_of(const struct order_value *v)
{
	return v->kind == ORDER_VALUE_INT ? (double)v->integer : v->number;
}

static int compare_values(const struct order_value *a, const struct order_value *b)
{
	double x, y;

	if (a->kind == ORDER_VALUE_INT && b->kind == ORDER_VALUE_INT)
		return compare_integers(a->integer, b->integer);
	x = number_of(a);
	y = number_of(b);
	return (x > y) - (x < y);
}

int order_compare(const struct order_query *q, const struct scored *a, const struct scored *b)
{
	int order = compare_values(&a->order, &b->order);

	if (order == 0)
		order = point_id_compare(a->id, b->id);
	return q->descending ? -order : order;
}

static int in_order(const void *a, const void *b, void *ctx)
{
	return order_compare(ctx, a, b);
}

/* --- collecting --- */

struct order {
	struct shard_reader *reader;
	struct order_query q;
	struct scored *items;
	uint32_t count, cap;
	struct scored next; /* whose values are looked at */
	enum err err;
};

/* A point stands once for each of its values, and a list may have one twice. */
static uint32_t without_twins(const struct order_query *q, struct scored *items, uint32_t count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		if (n == 0 || order_compare(q, &items[n - 1], &items[i]) != 0)
			items[n++] = items[i];
	return n;
}

/* Keeps the first `limit`. */
static void cut(struct order *o)
{
	if (o->count > 1)
		qsort_r(o->items, o->count, sizeof(*o->items), in_order, &o->q);
	o->count = MIN(without_twins(&o->q, o->items, o->count), o->q.limit);
}

static bool grow(struct order *o)
{
	uint64_t most = (uint64_t)o->q.limit * 2;

	if (o->count < o->cap || o->cap == most)
		return true;
	uint64_t cap = MIN(most, (uint64_t)o->cap * 2 + 64);
	struct scored *items = reallocarray(o->items, cap, sizeof(*items));

	if (!items) {
		o->err = ERR_NO_MEMORY;
		return false;
	}
	o->items = items;
	o->cap = (uint32_t)cap;
	return true;
}

static void add(struct order *o, struct order_value value)
{
	const struct order_query *q = &o->q;

	if (q->start.kind != ORDER_VALUE_NONE) {
		int order = compare_values(&value, &q->start);

		if (q->descending ? order > 0 : order < 0)
			return;
	}
	if (!grow(o))
		return;
	if (o->count == o->cap)
		cut(o);
	o->next.order = value;
	o->items[o->count++] = o->next;
}

static void add_value(struct order *o, struct value v)
{
	enum value_kind kind = value_kind(v);
	double number;
	int64_t us;

	if (o->q.schema == FIELD_INTEGER && kind == VALUE_INT)
		add(o, (struct order_value){ .kind = ORDER_VALUE_INT, .integer = value_int(v) });
	else if (o->q.schema == FIELD_FLOAT && value_number(v, &number))
		add(o, (struct order_value){ .kind = ORDER_VALUE_FLOAT, .number = number });
	else if (o->q.schema == FIELD_DATETIME && kind == VALUE_STRING &&
		 datetime_parse(value_string(v), &us))
		add(o, (struct order_value){ .kind = ORDER_VALUE_INT, .integer = us });
}

static bool add_found(void *ctx, struct value v)
{
	struct order *o = ctx;
	struct value item;

	if (value_kind(v) != VALUE_LIST)
		add_value(o, v);
	else
		for (struct value_iter it = value_items(v); value_next(&it, NULL, &item);)
			add_value(o, item);
	return o->err != ERR_NONE;
}

static enum err add_row(struct order *o, uint32_t number)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(SIZE_MAX);
	struct bytes record;
	struct row row;

	arena_init(&a, SIZE_MAX);
	enum err e = shard_read_record(o->reader, number, &record);

	if (e == ERR_NOT_FOUND) /* of a dropped collection that somebody still refers to */
		return ERR_NONE;
	if (!e)
		e = row_decode(record, &a, &row);
	if (!e)
		e = row_payload(&row, &payload);
	if (e)
		return e;
	(void)path_walk(o->q.key, value_of_buf(&payload), add_found, o);
	return o->err;
}

static void add_by_chance(struct order *o)
{
	struct point_id id = o->next.id;
	uint64_t words[] = { id.hi, id.lo, id.kind };
	uint64_t chance = hash64(words, sizeof(words), o->q.seed);

	add(o, (struct order_value){ .kind = ORDER_VALUE_INT, .integer = (int64_t)chance });
}

static void look_at(struct order *o, uint32_t row)
{
	const struct row_state *state = &o->reader->shard->rows[row];

	if (!state->visible || !shard_read_accepts(o->reader, row))
		return;
	o->next = (struct scored){
		.id = row_state_id(state),
		.shard = o->reader->shard->number,
		.row = row,
		.score = SCORE_NONE,
		.version = state->op_number,
	};
	if (o->q.key)
		o->err = add_row(o, row);
	else
		add_by_chance(o);
}

static void look_at_all(struct order *o)
{
	const struct plan *plan = &o->reader->plan;
	uint32_t looked = 0;

	for (uint32_t row = 0; row < o->reader->shard->row_count && !o->err && !o->reader->err;
	     row++) {
		if (plan->known && !row_bits_next(&plan->rows, &row))
			return;
		if (++looked % CHECK_EVERY == 0)
			o->err = deadline_check(&o->q.deadline);
		if (!o->err)
			look_at(o, row);
	}
}

enum err shard_order(struct shard *s, const struct order_query *q, struct scored *out,
		     uint32_t *ret_count)
{
	struct shard_reader r;
	struct order o = { .reader = &r, .q = *q };
	enum err e = shard_read_begin(s, q->filter, q->key != NULL, &q->deadline, &r);

	if (e)
		return e;
	if (q->limit > 0)
		look_at_all(&o);
	e = o.err ? o.err : r.err;
	shard_read_end(&r);
	if (!e) {
		cut(&o);
		*ret_count = o.count;
		if (o.count)
			memcpy(out, o.items, *ret_count * sizeof(*out));
	}
	free(o.items);
	return e;
}
