/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kind of filters: index/filter.h's tree from and to JSON and protobuf. Keys and tags
 * are those of index/filter.def. Qdrant's differences from a plain tree:
 *
 *   a clause may be a single condition instead of a list (JSON)
 *   several operators in one field condition mean OR: they become a nested filter with `should`
 *   an object with an unknown key is an error: so Qdrant tells the kinds of conditions apart
 */
#include "gateway/message_filter.h"

#include <string.h>

/* Columns of filter.def that index/ has no use for. */
static const struct {
	const char *json;
	uint32_t proto;
} columns[] = {
#define COND(name, object, json_key, proto_tag, argument, evaluator)                               \
	[CONDITION_##name] = { .json = (json_key), .proto = (proto_tag) },
#include "index/filter.def"
#undef COND
};

#define SAME_PLACE(member)                                                                         \
	_Static_assert(offsetof(struct range, member) == offsetof(struct datetime_range, member) && \
			       offsetof(struct range, member) == offsetof(struct count_range, member), \
		       "bounds lie at the same places")
SAME_PLACE(has_lt);
SAME_PLACE(has_gt);
SAME_PLACE(has_gte);
SAME_PLACE(has_lte);
SAME_PLACE(lt);
SAME_PLACE(gt);
SAME_PLACE(gte);
SAME_PLACE(lte);

const struct message_filter_bound message_filter_bounds[MESSAGE_FILTER_BOUNDS] = {
	{ { "lt", 2 }, offsetof(struct range, has_lt), offsetof(struct range, lt) },
	{ { "gt", 2 }, offsetof(struct range, has_gt), offsetof(struct range, gt) },
	{ { "gte", 3 }, offsetof(struct range, has_gte), offsetof(struct range, gte) },
	{ { "lte", 3 }, offsetof(struct range, has_lte), offsetof(struct range, lte) },
};

const char *message_filter_key(enum condition_kind k)
{
	return columns[k].json;
}

uint32_t message_filter_tag(enum condition_kind k)
{
	return columns[k].proto;
}

enum condition_kind message_filter_by_tag(enum condition_object o, uint32_t tag)
{
	for (unsigned k = 0; k < CONDITION_COUNT; k++)
		if (condition_object_of((enum condition_kind)k) == o && columns[k].proto == tag)
			return (enum condition_kind)k;
	return CONDITION_COUNT;
}

/* ---- building ---- */

struct condition *message_filter_add(struct filter_builder *b, struct condition_list *list)
{
	if (++b->conditions > FILTER_CONDITIONS_MAX) {
		message_bad_input(b->d, "a filter has more than %d conditions",
				  FILTER_CONDITIONS_MAX);
		return NULL;
	}
	list->items = message_grow(b->d, list->items, list->count, sizeof(*list->items));
	return list->items ? &list->items[list->count++] : NULL;
}

struct filter *message_filter_inner(struct filter_builder *b)
{
	struct filter *f = message_array(b->d, 1, sizeof(*f));

	if (!f)
		return NULL;
	if (b->depth == FILTER_DEPTH_MAX) {
		message_bad_input(b->d, "a filter is nested more than %d deep", FILTER_DEPTH_MAX);
		return NULL;
	}
	b->depth++;
	return f;
}

void message_filter_set_key(struct filter_builder *b, struct condition *c, struct str text)
{
	struct fault fault = { 0 };

	if (path_parse(text, &c->key, &fault) != ERR_NONE)
		message_bad_input(b->d, "%s", fault_text(&fault));
}

void message_filter_add_text(struct filter_builder *b, struct text_set *set, struct str text)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d values", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = text;
}

void message_filter_add_int(struct filter_builder *b, struct int_set *set, int64_t v)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d values", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = v;
}

void message_filter_add_id(struct filter_builder *b, struct id_set *set, struct point_id id)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d ids", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = id;
}

void message_filter_add_point(struct filter_builder *b, struct geo_ring *ring, struct geo_point p)
{
	if (ring->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a polygon has more than %d points", FILTER_VALUES_MAX);
		return;
	}
	ring->points = message_grow(b->d, ring->points, ring->count, sizeof(*ring->points));
	if (ring->points)
		ring->points[ring->count++] = p;
}

struct geo_ring *message_filter_add_hole(struct filter_builder *b, struct geo_polygon *g)
{
	if (g->interior_count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a polygon has more than %d interiors", FILTER_VALUES_MAX);
		return NULL;
	}
	g->interiors = message_grow(b->d, g->interiors, g->interior_count, sizeof(*g->interiors));
	if (!g->interiors)
		return NULL;
	g->interiors[g->interior_count] = (struct geo_ring){ 0 };
	return &g->interiors[g->interior_count++];
}

const char *message_filter_point_words(struct geo_point p)
{
	return geo_point_valid(p) ?
		       NULL :
		       "Wrong format of GeoPoint payload: expected `lat` within [-90;90] and `lon` within [-180;180]";
}

void message_filter_set_min_count(struct filter *f, uint64_t n)
{
	f->min_count = (uint32_t)MIN(
		n, (uint64_t)UINT32_MAX); /* more than there can be conditions either way */
}

/* The operators of one field condition: one is the condition, several are alternatives. */
void message_filter_take_operators(struct filter_builder *b, struct condition *c,
				   const struct condition_list *operators)
{
	for (uint32_t i = 0; i < operators->count; i++)
		operators->items[i].key = c->key;
	if (operators->count == 0) {
		message_bad_input(b->d,
				  "At least one field condition must be specified for key `%.*s`",
				  (int)MIN(c->key.text.len, (size_t)64), c->key.text.data);
		return;
	}
	if (operators->count == 1) {
		*c = operators->items[0];
		return;
	}
	struct filter *any = message_array(b->d, 1, sizeof(*any));
	if (!any)
		return;
	any->should = *operators;
	*c = (struct condition){ .kind = CONDITION_FILTER, .filter = any };
}

void message_filter_take(struct message_reading *d, struct filter *f, void *member)
{
	struct fault fault = { 0 };

	if (filter_prepare(f, &fault) != ERR_NONE)
		message_bad_input(d, "%s", fault_text(&fault));
	*(const struct filter **)member = f;
}

const struct message_custom kind_filter = {
	.size = sizeof(const struct filter *),
	.from_json = message_filter_from_json,
	.from_proto = message_filter_from_proto,
	.to_json = message_filter_to_json,
	.to_proto = message_filter_to_proto,
};
