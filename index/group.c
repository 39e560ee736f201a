/* SPDX-License-Identifier: Apache-2.0 */
#include "index/group.h"

#include <stdlib.h>
#include <string.h>

#include "index/mmr.h"
#include "index/order.h"

/* Payloads that are in memory at once. */
#define GROUP_RECORDS 256u
/* How much more is asked for when a search brought no new group. */
#define GROW 4u

struct grouping {
	struct collection *collection;
	struct pool *pool;
	const struct group_options *options;
	const struct deadline *deadline;
	struct arena *arena;
	struct fault *fault;
	struct group *groups; /* options->groups */
	uint32_t count;
	/* Of a search that leaves some groups out, or is for one group, only these say what is best. */
	uint32_t open_from, open_to;
	bool may_add;
	struct scored next;
	enum err err;
};

/* --- keys --- */

static bool key_of(struct value v, struct group_key *ret_key)
{
	switch (value_kind(v)) {
	case VALUE_INT:
		if (value_int(v) < 0)
			*ret_key = (struct group_key){ .kind = GROUP_KEY_INT,
						       .integer = value_int(v) };
		else
			*ret_key = (struct group_key){ .kind = GROUP_KEY_UNSIGNED,
						       .unsigned_integer = (uint64_t)value_int(v) };
		return true;
	case VALUE_UINT:
		*ret_key = (struct group_key){ .kind = GROUP_KEY_UNSIGNED,
					       .unsigned_integer = value_uint(v) };
		return true;
	case VALUE_STRING:
		*ret_key = (struct group_key){ .kind = GROUP_KEY_TEXT, .text = value_string(v) };
		return true;
	case VALUE_NULL:
	case VALUE_FALSE:
	case VALUE_TRUE:
	case VALUE_DOUBLE:
	case VALUE_LIST:
	case VALUE_OBJECT:
		break;
	}
	return false;
}

static bool same_key(const struct group_key *a, const struct group_key *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == GROUP_KEY_TEXT)
		return str_compare(a->text, b->text) == 0;
	return a->unsigned_integer == b->unsigned_integer;
}

/* --- filling groups --- */

static struct group *find_group(struct grouping *g, const struct group_key *key)
{
	for (uint32_t i = 0; i < g->count; i++)
		if (same_key(&g->groups[i].key, key))
			return &g->groups[i];
	return NULL;
}

/* NULL: there are enough, or no memory. */
static struct group *new_group(struct grouping *g, const struct group_key *key)
{
	struct group_key own = *key;

	if (g->count == g->options->groups || !g->may_add)
		return NULL;
	if (key->kind == GROUP_KEY_TEXT) {
		own.text = arena_str(g->arena, key->text);
		if (!own.text.data)
			g->err = ERR_NO_MEMORY;
	}
	struct scored *items = arena_array(g->arena, g->options->group_size, sizeof(*items));

	if (!items)
		g->err = ERR_NO_MEMORY;
	if (g->err)
		return NULL;
	g->groups[g->count] = (struct group){ .key = own, .items = items };
	return &g->groups[g->count++];
}

/* A value may stand twice in one payload; points come best first. */
static bool has_point(const struct group *group, struct point_id id)
{
	for (uint32_t i = 0; i < group->count; i++)
		if (point_id_equal(group->items[i].id, id))
			return true;
	return false;
}

static void add_value(struct grouping *g, struct value v)
{
	struct group_key key;

	if (!key_of(v, &key))
		return;
	struct group *group = find_group(g, &key);

	if (!group)
		group = new_group(g, &key);
	uint32_t number = group ? (uint32_t)(group - g->groups) : 0;

	if (!group || number < g->open_from || number >= g->open_to ||
	    group->count == g->options->group_size || has_point(group, g->next.id))
		return;
	group->items[group->count++] = g->next;
}

static bool add_found(void *ctx, struct value v)
{
	struct grouping *g = ctx;
	struct value item;

	if (value_kind(v) != VALUE_LIST)
		add_value(g, v);
	else
		for (struct value_iter it = value_items(v); value_next(&it, NULL, &item);)
			add_value(g, item);
	return g->err != ERR_NONE;
}

static enum err add_some(struct grouping *g, const struct scored *points, uint32_t count)
{
	CLEANUP(arena_release) struct arena arena;
	const struct record_want want = { .payload = true };
	struct point_id ids[GROUP_RECORDS];
	struct record records[GROUP_RECORDS] = { 0 };

	arena_init(&arena, SIZE_MAX);
	for (uint32_t i = 0; i < count; i++)
		ids[i] = points[i].id;
	enum err err =
		collection_retrieve(g->collection, ids, count, &want, &arena, records, g->fault);

	for (uint32_t i = 0; i < count && !err; i++) {
		g->next = points[i];
		if (records[i].found && records[i].payload.data)
			(void)path_walk(g->options->key, records[i].payload, add_found, g);
		err = g->err;
	}
	return err;
}

static bool all_full(const struct grouping *g)
{
	for (uint32_t i = 0; i < g->count; i++)
		if (g->groups[i].count < g->options->group_size)
			return false;
	return g->count == g->options->groups;
}

/* --- searching --- */

static enum err run_query(struct grouping *g, const struct query *q, struct ranking *ret_found)
{
	enum err err =
		query_run(g->collection, g->pool, q, g->deadline, g->arena, ret_found, g->fault);

	for (uint32_t i = 0; i < ret_found->count && !err && !all_full(g); i += GROUP_RECORDS)
		err = add_some(g, ret_found->items + i, MIN(GROUP_RECORDS, ret_found->count - i));
	return err;
}

/* A filter of these conditions, and the query's own. */
static enum err narrowed(struct grouping *g, const struct query *q, const struct condition *items,
			 uint32_t count, struct query *ret_query)
{
	struct filter *f = arena_alloc(g->arena, sizeof(*f));
	struct condition *copy = arena_array(g->arena, count, sizeof(*copy));

	if (!f || !copy)
		return ERR_NO_MEMORY;
	memcpy(copy, items, count * sizeof(*copy));
	f->must = (struct condition_list){ .items = copy, .count = count };
	*ret_query = *q;
	return query_both_filters(q->filter, f, g->arena, &ret_query->filter);
}

static int by_text(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static int by_integer(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* False: no condition can name it. */
static bool key_integer(const struct group_key *key, int64_t *ret_integer)
{
	if (key->kind == GROUP_KEY_TEXT ||
	    (key->kind == GROUP_KEY_UNSIGNED && key->unsigned_integer > (uint64_t)INT64_MAX))
		return false;
	*ret_integer = key->integer;
	return true;
}

/* What has a value that is none of the groups'. */
static enum err without_groups(struct grouping *g, const struct query *q, struct query *ret_query)
{
	struct condition c[2] = { { .kind = CONDITION_MATCH_EXCEPT_TEXT, .key = *g->options->key },
				  { .kind = CONDITION_MATCH_EXCEPT_INT, .key = *g->options->key } };

	c[0].texts.items = arena_array(g->arena, g->count, sizeof(*c[0].texts.items));
	c[1].ints.items = arena_array(g->arena, g->count, sizeof(*c[1].ints.items));
	if (!c[0].texts.items || !c[1].ints.items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < g->count; i++) {
		const struct group_key *key = &g->groups[i].key;

		if (key->kind == GROUP_KEY_TEXT)
			c[0].texts.items[c[0].texts.count++] = key->text;
		else if (key_integer(key, &c[1].ints.items[c[1].ints.count]))
			c[1].ints.count++;
	}
	if (c[0].texts.count > 1)
		qsort(c[0].texts.items, c[0].texts.count, sizeof(*c[0].texts.items), by_text);
	if (c[1].ints.count > 1)
		qsort(c[1].ints.items, c[1].ints.count, sizeof(*c[1].ints.items), by_integer);
	return narrowed(g, q, c, LEN(c), ret_query);
}

/* Until there are enough groups, or no more. */
static enum err find_groups(struct grouping *g, const struct query *q, bool *ret_complete)
{
	struct query step = *q;
	enum err err = ERR_NONE;

	*ret_complete = false;
	for (bool first = true; !err && g->count < g->options->groups; first = false) {
		struct ranking found = { 0 };
		uint32_t before = g->count;

		g->open_from = before;
		err = run_query(g, &step, &found);
		if (err || found.count < step.limit) {
			*ret_complete = first;
			return err;
		}
		uint64_t limit = step.limit;

		if (g->count == before)
			limit = MIN(limit * GROW, MAX(collection_points(g->collection), limit + 1));
		err = without_groups(g, q, &step);
		step.limit = (uint32_t)MIN(limit, (uint64_t)UINT32_MAX);
	}
	return err;
}

static enum err fill_group(struct grouping *g, const struct query *q, uint32_t number)
{
	struct group *group = &g->groups[number];
	struct condition c = { .kind = CONDITION_MATCH_TEXT_VALUE, .key = *g->options->key };
	struct ranking found = { 0 };
	struct query step;

	if (group->key.kind == GROUP_KEY_TEXT)
		c.text = group->key.text;
	else if (key_integer(&group->key, &c.integer))
		c.kind = CONDITION_MATCH_INT_VALUE;
	else
		return ERR_NONE;
	enum err err = narrowed(g, q, &c, 1, &step);

	if (err)
		return err;
	step.limit = g->options->group_size;
	group->count = 0;
	g->open_from = number;
	g->open_to = number + 1;
	g->may_add = false;
	return run_query(g, &step, &found);
}

static enum err search_groups(struct grouping *g, const struct query *q)
{
	bool complete;
	enum err err = find_groups(g, q, &complete);

	for (uint32_t i = 0; i < g->count && !err && !complete; i++)
		if (g->groups[i].count < g->options->group_size)
			err = fill_group(g, q, i);
	return err;
}

/* --- queries with prefetches --- */

static enum err widened(struct grouping *g, const struct query *q, struct query *ret_query)
{
	struct query *prefetches = arena_array(g->arena, q->prefetch_count, sizeof(*prefetches));
	enum err err = prefetches ? ERR_NONE : ERR_NO_MEMORY;

	*ret_query = *q;
	ret_query->limit =
		(uint32_t)MIN((uint64_t)q->limit * g->options->groups, (uint64_t)GROUP_RESULTS_MAX);
	ret_query->mmr_candidates =
		MIN(MAX(q->mmr_candidates, ret_query->limit), MMR_CANDIDATES_MAX);
	for (uint32_t i = 0; i < q->prefetch_count && !err; i++)
		err = widened(g, &q->prefetches[i], &prefetches[i]);
	ret_query->prefetches = prefetches;
	return err;
}

static enum err group_once(struct grouping *g, const struct query *q)
{
	struct ranking found = { 0 };
	struct query wide;
	enum err err = widened(g, q, &wide);

	if (err)
		return err;
	wide.limit = GROUP_RESULTS_MAX;
	return run_query(g, &wide, &found);
}

enum err group_run(struct collection *c, struct pool *pool, const struct query *q,
		   const struct group_options *o, const struct deadline *deadline, struct arena *a,
		   struct group **ret_groups, uint32_t *ret_count, struct fault *reterr_fault)
{
	struct grouping g = {
		.collection = c,
		.pool = pool,
		.options = o,
		.deadline = deadline,
		.arena = a,
		.fault = reterr_fault,
		.groups = arena_array(a, o->groups, sizeof(*g.groups)),
		.open_to = UINT32_MAX,
		.may_add = true,
	};
	const struct condition empty = { .kind = CONDITION_IS_EMPTY, .key = *o->key };
	struct filter *f = arena_alloc(a, sizeof(*f));
	struct condition *not_empty = arena_alloc(a, sizeof(*not_empty));
	struct query step = *q;

	if (!g.groups || !f || !not_empty)
		return ERR_NO_MEMORY;
	*not_empty = empty;
	f->must_not = (struct condition_list){ .items = not_empty, .count = 1 };
	enum err err = query_both_filters(q->filter, f, a, &step.filter);

	if (err)
		return err;
	step.limit = o->groups * o->group_size;
	step.mmr_candidates = MIN(MAX(q->mmr_candidates, step.limit), MMR_CANDIDATES_MAX);
	if (q->prefetch_count > 0)
		err = group_once(&g, &step);
	else
		err = search_groups(&g, &step);
	*ret_groups = g.groups;
	*ret_count = g.count;
	return err;
}
