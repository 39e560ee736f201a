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
#define COND(name, json_key, proto_tag, evaluator)                                                 \
	[CONDITION_##name] = { .json = (json_key), .proto = (proto_tag) },
#include "index/filter.def"
#undef COND
};

/* Known and not built. */
static const struct {
	enum filter_object object;
	const char *key;
	uint32_t proto;
	const char *words;
} laters[] = {
	{ FILTER_MATCH, "text", 4, "match text" },
	{ FILTER_MATCH, "phrase", 9, "match phrase" },
	{ FILTER_MATCH, "text_any", 10, "match text_any" },
	{ FILTER_MATCH, "prefix", 11, "match prefix" },
	{ FILTER_FIELD, "geo_bounding_box", 4, "condition geo_bounding_box" },
	{ FILTER_FIELD, "geo_radius", 5, "condition geo_radius" },
	{ FILTER_FIELD, "values_count", 6, "condition values_count" },
	{ FILTER_FIELD, "geo_polygon", 7, "condition geo_polygon" },
	{ FILTER_FIELD, NULL, 8, "condition datetime range" }, /* in JSON a range of strings */
	{ FILTER_CONDITION, "nested", 6, "condition nested" },
	{ FILTER_CONDITION, "slice", 8, "condition slice" },
};

const char *message_filter_key(enum condition_kind k)
{
	return columns[k].json;
}

uint32_t message_filter_tag(enum condition_kind k)
{
	return columns[k].proto;
}

bool message_filter_is_match(enum condition_kind k)
{
	return k == CONDITION_MATCH_TEXT_VALUE || k == CONDITION_MATCH_INT_VALUE ||
	       k == CONDITION_MATCH_BOOL_VALUE || k == CONDITION_MATCH_ANY_TEXT ||
	       k == CONDITION_MATCH_ANY_INT || k == CONDITION_MATCH_EXCEPT_INT ||
	       k == CONDITION_MATCH_EXCEPT_TEXT;
}

bool message_filter_is_field(enum condition_kind k)
{
	return message_filter_is_match(k) || k == CONDITION_RANGE ||
	       k == CONDITION_FIELD_IS_EMPTY || k == CONDITION_FIELD_IS_NULL;
}

const char *message_filter_later_key(enum filter_object o, struct str key)
{
	for (size_t i = 0; i < LEN(laters); i++)
		if (laters[i].object == o && laters[i].key && strlen(laters[i].key) == key.len &&
		    memcmp(laters[i].key, key.data, key.len) == 0)
			return laters[i].words;
	return NULL;
}

const char *message_filter_later_field(enum filter_object o, uint32_t field)
{
	for (size_t i = 0; i < LEN(laters); i++)
		if (laters[i].object == o && laters[i].proto == field)
			return laters[i].words;
	return NULL;
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

bool message_filter_deeper(struct filter_builder *b)
{
	if (b->depth == FILTER_DEPTH_MAX) {
		message_bad_input(b->d, "a filter is nested more than %d deep", FILTER_DEPTH_MAX);
		return false;
	}
	b->depth++;
	return true;
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
