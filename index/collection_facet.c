/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facets of a collection: what the shards count is added up by value.
 */
#include "index/collection_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "index/shard.h"

/* Distinct values in one answer's making. */
#define FACET_VALUES_MAX (1u << 24)

/* By value: kind, then its text, or its number in 8 bytes. */
struct counts {
	struct map by_value;
};

static void counts_release(struct counts *c)
{
	size_t cursor = 0;
	struct str key;
	void *count;

	while (map_next(&c->by_value, &cursor, &key, &count))
		free(count);
	map_release(&c->by_value);
}

static enum err add_key(struct counts *c, struct str key, uint64_t count)
{
	uint64_t *sum = map_get(&c->by_value, key);

	if (sum) {
		*sum += count;
		return ERR_NONE;
	}
	if (c->by_value.count == FACET_VALUES_MAX)
		return ERR_TOO_LARGE;
	sum = malloc(sizeof(*sum));
	if (!sum)
		return ERR_NO_MEMORY;
	*sum = count;
	enum err e = map_put(&c->by_value, key, sum, NULL);

	if (e)
		free(sum);
	return e;
}

static enum err add(void *ctx, const struct field_value *v, uint64_t count)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(SIZE_MAX);

	(void)buf_append_byte(&key, (uint8_t)v->kind); /* sticky */
	if (v->kind == FIELD_VALUE_TEXT)
		(void)buf_append_str(&key, v->text);
	else if (v->kind == FIELD_VALUE_INT)
		(void)buf_append(&key, &v->integer, sizeof(v->integer));
	else
		(void)buf_append_byte(&key, v->boolean);
	return buf_err(&key) ? buf_err(&key) : add_key(ctx, buf_str(&key), count);
}

static struct field_value value_of_key(struct str key)
{
	struct field_value v = { .kind = (__typeof__(v.kind))key.data[0] };

	if (v.kind == FIELD_VALUE_TEXT)
		v.text = (struct str){ .data = key.data + 1, .len = key.len - 1 };
	else if (v.kind == FIELD_VALUE_INT)
		memcpy(&v.integer, key.data + 1, sizeof(v.integer));
	else
		v.boolean = key.data[1] != 0;
	return v;
}

/* Most points first, then by value. */
static int facet_compare(const void *a, const void *b)
{
	const struct facet_hit *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return field_value_compare(&x->value, &y->value);
}

static enum err best(const struct counts *c, uint32_t limit, struct arena *a, struct facet_hit **ret_hits,
		     uint32_t *ret_count)
{
	struct facet_hit *all = calloc(c->by_value.count + 1, sizeof(*all));
	uint32_t count = (uint32_t)MIN(c->by_value.count, (size_t)limit);
	struct facet_hit *hits = arena_array(a, count, sizeof(*hits));
	enum err e = all && hits ? ERR_NONE : ERR_NO_MEMORY;
	size_t cursor = 0, n = 0;
	struct str key;
	void *sum;

	while (!e && map_next(&c->by_value, &cursor, &key, &sum))
		all[n++] = (struct facet_hit){ .value = value_of_key(key), .count = *(uint64_t *)sum };
	if (n > 1)
		qsort(all, n, sizeof(*all), facet_compare);
	for (uint32_t i = 0; !e && i < count; i++) {
		hits[i] = all[i];
		if (hits[i].value.kind != FIELD_VALUE_TEXT)
			continue;
		hits[i].value.text = arena_str(a, all[i].value.text);
		if (!hits[i].value.text.data)
			e = ERR_NO_MEMORY;
	}
	free(all);
	if (e)
		return e;
	*ret_hits = hits;
	*ret_count = count;
	return ERR_NONE;
}

enum err collection_facet(struct collection *c, struct str key, const struct filter *f, uint32_t limit,
			  const struct deadline *deadline, struct arena *a, struct facet_hit **ret_hits,
			  uint32_t *ret_count)
{
	static const struct deadline never;
	struct counts counts;
	enum err e = ERR_NONE;

	map_init(&counts.by_value);
	for (uint32_t i = 0; !e && i < c->shard_count; i++)
		e = shard_facet(c->shards[i], key, f, deadline ? deadline : &never, add, &counts);
	if (!e)
		e = best(&counts, limit, a, ret_hits, ret_count);
	counts_release(&counts);
	return e;
}
