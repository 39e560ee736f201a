/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kind of filters: index/filter.h's tree from and to JSON and protobuf. Keys and tags are those of
 * index/filter.def. Qdrant's differences from a plain tree:
 *
 *   a clause may be a single condition instead of a list (JSON)
 *   several operators in one field condition mean OR: they become a nested filter with `should`
 *   an object with an unknown key is an error: that is how Qdrant tells the kinds of conditions apart
 */
#include "gateway/message_kinds.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/panic.h"

/* Columns of filter.def that index/ has no use for. */
static const struct {
	const char *json;
	uint32_t proto;
} columns[] = {
#define COND(name, json_key, proto_tag, evaluator) [CONDITION_##name] = { .json = (json_key), .proto = (proto_tag) },
#include "index/filter.def"
#undef COND
};

/* Which object of the wire has the tag: Match, FieldCondition or Condition. */
static bool is_match(enum condition_kind k)
{
	return k == CONDITION_MATCH_TEXT_VALUE || k == CONDITION_MATCH_INT_VALUE || k == CONDITION_MATCH_BOOL_VALUE ||
	       k == CONDITION_MATCH_ANY_TEXT || k == CONDITION_MATCH_ANY_INT || k == CONDITION_MATCH_EXCEPT_INT ||
	       k == CONDITION_MATCH_EXCEPT_TEXT;
}

static bool is_field(enum condition_kind k)
{
	return is_match(k) || k == CONDITION_RANGE || k == CONDITION_FIELD_IS_EMPTY || k == CONDITION_FIELD_IS_NULL;
}

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* A feature of filters that is known and not built, by its JSON key and its number in the message that has it. */
struct later {
	const char *key;
	uint32_t proto;
	const char *words;
};

static const struct later match_later[] = {
	{ "text", 4, "match text" },
	{ "phrase", 9, "match phrase" },
	{ "text_any", 10, "match text_any" },
	{ "prefix", 11, "match prefix" },
};

static const struct later field_later[] = {
	{ "geo_bounding_box", 4, "condition geo_bounding_box" },
	{ "geo_radius", 5, "condition geo_radius" },
	{ "values_count", 6, "condition values_count" },
	{ "geo_polygon", 7, "condition geo_polygon" },
	{ NULL, 8, "condition datetime range" },
};

static const struct later condition_later[] = {
	{ "nested", 6, "condition nested" },
	{ "slice", 8, "condition slice" },
};

static const struct later *later_of_key(const struct later *rows, size_t count, struct str key)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].key && is_word(key, rows[i].key))
			return &rows[i];
	return NULL;
}

static const struct later *later_of_field(const struct later *rows, size_t count, uint32_t field)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].proto == field)
			return &rows[i];
	return NULL;
}

/* ---- building ---- */

/* Counts as the tree grows, so that a hostile one ends early; filter_prepare() has the last word. */
struct builder {
	struct message_reading *d;
	unsigned depth;
	uint32_t conditions;
};

static struct condition *add(struct builder *b, struct condition_list *list)
{
	if (++b->conditions > FILTER_CONDITIONS_MAX) {
		message_bad_input(b->d, "a filter has more than %d conditions", FILTER_CONDITIONS_MAX);
		return NULL;
	}
	list->items = message_grow(b->d, list->items, list->count, sizeof(*list->items));
	return list->items ? &list->items[list->count++] : NULL;
}

static bool go_deeper(struct builder *b)
{
	if (b->depth == FILTER_DEPTH_MAX) {
		message_bad_input(b->d, "a filter is nested more than %d deep", FILTER_DEPTH_MAX);
		return false;
	}
	b->depth++;
	return true;
}

static void set_key(struct builder *b, struct condition *c, struct str text)
{
	struct fault fault = { 0 };

	if (path_parse(text, &c->key, &fault) != ERR_NONE)
		message_bad_input(b->d, "%s", fault_text(&fault));
}

static void add_text(struct builder *b, struct text_set *set, struct str text)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d values", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = text;
}

static void add_int(struct builder *b, struct int_set *set, int64_t v)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d values", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = v;
}

static void add_id(struct builder *b, struct id_set *set, struct point_id id)
{
	if (set->count == FILTER_VALUES_MAX) {
		message_bad_input(b->d, "a condition has more than %d ids", FILTER_VALUES_MAX);
		return;
	}
	set->items = message_grow(b->d, set->items, set->count, sizeof(*set->items));
	if (set->items)
		set->items[set->count++] = id;
}

static void set_min_count(struct filter *f, uint64_t n)
{
	f->min_count = (uint32_t)MIN(n, (uint64_t)UINT32_MAX); /* more than there can be conditions either way */
}

/* The operators of one field condition: one is the condition, several are alternatives. */
static void take_operators(struct builder *b, struct condition *c, const struct condition_list *operators)
{
	for (uint32_t i = 0; i < operators->count; i++)
		operators->items[i].key = c->key;
	if (operators->count == 0) {
		message_bad_input(b->d, "At least one field condition must be specified for key `%.*s`",
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

/* ---- from JSON ---- */

static void filter_from_object(struct builder *b, struct json_reader *r, struct filter *f);

static void value_from_json_match(struct builder *b, struct json_reader *r, struct condition *c)
{
	switch (json_peek(r)) {
	case JSON_STRING:
		c->kind = CONDITION_MATCH_TEXT_VALUE;
		c->text = json_string(r);
		return;
	case JSON_BOOL:
		c->kind = CONDITION_MATCH_BOOL_VALUE;
		c->boolean = json_bool(r);
		return;
	case JSON_NUMBER:
		c->kind = CONDITION_MATCH_INT_VALUE;
		c->integer = json_i64(r);
		return;
	case JSON_END:
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
	case JSON_BAD:
		break;
	}
	message_json_fail(b->d, r, "expected a string, an integer or a boolean");
}

/* Strings or integers, all of one kind; an empty list is of strings. */
static void set_from_json(struct builder *b, struct json_reader *r, bool except, struct condition *c)
{
	bool ints = false, first = true;

	if (!json_enter_array(r))
		return;
	c->kind = except ? CONDITION_MATCH_EXCEPT_TEXT : CONDITION_MATCH_ANY_TEXT;
	while (!b->d->err && json_next_element(r)) {
		bool is_number = json_peek(r) == JSON_NUMBER;
		if (first && is_number) {
			ints = true;
			c->kind = except ? CONDITION_MATCH_EXCEPT_INT : CONDITION_MATCH_ANY_INT;
		}
		first = false;
		if (ints) {
			add_int(b, &c->ints, json_i64(r));
			continue;
		}
		struct str text = json_string(r);
		if (!json_failed(r))
			add_text(b, &c->texts, text);
	}
}

static void match_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;
	uint32_t keys = 0;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		const struct later *later = later_of_key(match_later, LEN(match_later), key);
		if (later) {
			message_later(b->d, later->words);
			return;
		}
		keys++;
		if (is_word(key, "value"))
			value_from_json_match(b, r, c);
		else if (is_word(key, "any") || is_word(key, "except"))
			set_from_json(b, r, is_word(key, "except"), c);
		else
			message_json_fail(b->d, r, "data did not match any variant of untagged enum Match");
	}
	if (!b->d->err && keys != 1)
		message_json_fail(b->d, r, "data did not match any variant of untagged enum Match");
}

/* One bound; a string is a date. */
static void bound_from_json(struct builder *b, struct json_reader *r, bool *has, double *bound)
{
	if (json_peek(r) == JSON_STRING) {
		message_later(b->d, "condition datetime range");
		return;
	}
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	*bound = json_f64(r);
	*has = true;
}

static void range_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct range *g = &c->range;
	struct str key;

	c->kind = CONDITION_RANGE;
	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "lt"))
			bound_from_json(b, r, &g->has_lt, &g->lt);
		else if (is_word(key, "gt"))
			bound_from_json(b, r, &g->has_gt, &g->gt);
		else if (is_word(key, "lte"))
			bound_from_json(b, r, &g->has_lte, &g->lte);
		else if (is_word(key, "gte"))
			bound_from_json(b, r, &g->has_gte, &g->gte);
		else
			json_skip(r);
	}
}

static void operator_from_json(struct builder *b, struct json_reader *r, struct str key, struct condition_list *list)
{
	const struct later *later = later_of_key(field_later, LEN(field_later), key);
	if (later) {
		message_later(b->d, later->words);
		return;
	}
	bool match = is_word(key, "match"), range = is_word(key, "range");
	bool empty = is_word(key, "is_empty"), null = is_word(key, "is_null");
	if (!match && !range && !empty && !null) {
		json_skip(r); /* Qdrant passes over unknown keys here */
		return;
	}
	struct condition *c = add(b, list);
	if (!c)
		return;
	if (match)
		match_from_json(b, r, c);
	else if (range)
		range_from_json(b, r, c);
	else
		*c = (struct condition){
			.kind = empty ? CONDITION_FIELD_IS_EMPTY : CONDITION_FIELD_IS_NULL,
			.boolean = json_bool(r),
		};
}

static void field_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct condition_list operators = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "key")) {
			struct str text = json_string(r);
			if (!json_failed(r))
				set_key(b, c, text);
		} else if (json_peek(r) == JSON_NULL) {
			json_null(r);
		} else {
			operator_from_json(b, r, key, &operators);
		}
	}
	if (!b->d->err && !json_failed(r))
		take_operators(b, c, &operators);
}

/* {"key": …} of is_empty and is_null. */
static void payload_field_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;
	bool given = false;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (!is_word(key, "key")) {
			json_skip(r);
			continue;
		}
		struct str text = json_string(r);
		if (!json_failed(r))
			set_key(b, c, text);
		given = true;
	}
	if (!given)
		json_fail(r, "missing field `key`");
}

static void ids_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r)) {
		struct point_id id = message_point_id_from_json(b->d, r);
		if (!json_failed(r))
			add_id(b, &c->ids, id);
	}
}

/* What an object is, by its keys. Looks, and reads nothing. */
static enum condition_kind classify(struct builder *b, struct json_reader ahead, struct str *ret_key)
{
	static const enum condition_kind kinds[] = {
		CONDITION_IS_EMPTY, CONDITION_IS_NULL, CONDITION_HAS_ID, CONDITION_HAS_VECTOR,
	};
	enum condition_kind kind = CONDITION_FILTER;
	struct str key;

	if (!json_enter_object(&ahead))
		return kind;
	while (json_next_key(&ahead, &key)) {
		const struct later *later = later_of_key(condition_later, LEN(condition_later), key);
		if (later)
			message_later(b->d, later->words);
		if (is_word(key, "key"))
			return CONDITION_RANGE; /* stands for all field conditions */
		for (uint32_t i = 0; i < LEN(kinds); i++)
			if (is_word(key, columns[kinds[i]].json)) {
				kind = kinds[i];
				*ret_key = key;
			}
		json_skip(&ahead);
	}
	return kind;
}

static void single_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (!is_word(key, columns[c->kind].json))
			json_skip(r);
		else if (c->kind == CONDITION_HAS_ID)
			ids_from_json(b, r, c);
		else if (c->kind == CONDITION_HAS_VECTOR)
			c->vector_name = json_string(r);
		else
			payload_field_from_json(b, r, c);
	}
}

static void condition_from_json(struct builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;
	struct filter *inner;

	c->kind = classify(b, *r, &key);
	if (b->d->err)
		return;
	if (c->kind == CONDITION_RANGE) {
		field_from_json(b, r, c);
	} else if (c->kind == CONDITION_FILTER) {
		inner = message_array(b->d, 1, sizeof(*inner));
		if (!inner || !go_deeper(b))
			return;
		c->filter = inner;
		filter_from_object(b, r, inner);
		b->depth--;
	} else {
		single_from_json(b, r, c);
	}
}

/* add() may move the list, so each condition is built aside. */
static void add_from_json(struct builder *b, struct json_reader *r, struct condition_list *list)
{
	struct condition c = { 0 };

	condition_from_json(b, r, &c);
	struct condition *at = b->d->err ? NULL : add(b, list);
	if (at)
		*at = c;
}

static void clause_from_json(struct builder *b, struct json_reader *r, struct condition_list *list)
{
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (json_peek(r) != JSON_ARRAY) {
		add_from_json(b, r, list);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r))
		add_from_json(b, r, list);
}

static void min_should_from_json(struct builder *b, struct json_reader *r, struct filter *f)
{
	bool has_conditions = false, has_count = false;
	struct str key;

	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "conditions")) {
			clause_from_json(b, r, &f->min_should);
			has_conditions = true;
		} else if (is_word(key, "min_count")) {
			set_min_count(f, json_u64(r));
			has_count = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_conditions || !has_count)
		json_fail(r, has_conditions ? "missing field `min_count`" : "missing field `conditions`");
	f->has_min_should = true;
}

static void filter_from_object(struct builder *b, struct json_reader *r, struct filter *f)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		message_enter(b->d, key, -1);
		if (is_word(key, "must"))
			clause_from_json(b, r, &f->must);
		else if (is_word(key, "should"))
			clause_from_json(b, r, &f->should);
		else if (is_word(key, "must_not"))
			clause_from_json(b, r, &f->must_not);
		else if (is_word(key, "min_should"))
			min_should_from_json(b, r, f);
		else
			message_json_fail(b->d, r,
					  "unknown field `%.*s`, expected one of `should`, `min_should`, `must`, `must_not`",
					  (int)MIN(key.len, (size_t)64), key.data);
		message_leave(b->d);
	}
}

static void take_filter(struct message_reading *d, struct filter *f, void *member)
{
	struct fault fault = { 0 };

	if (filter_prepare(f, &fault) != ERR_NONE)
		message_bad_input(d, "%s", fault_text(&fault));
	*(const struct filter **)member = f;
}

static void filter_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct builder b = { .d = d };
	struct filter *f = message_array(d, 1, sizeof(*f));

	if (!f || !go_deeper(&b))
		return;
	filter_from_object(&b, r, f);
	if (!d->err && !json_failed(r))
		take_filter(d, f, member);
}

/* ---- from protobuf ---- */

static void filter_from_message(struct builder *b, struct bytes bytes, struct filter *f);

static void failed(struct builder *b, const struct proto_reader *r)
{
	if (r->err)
		message_bad_proto(b->d);
}

/* RepeatedStrings{strings=1} */
static void texts_from_proto(struct builder *b, struct bytes bytes, struct text_set *set)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1) {
			struct str text = proto_string(&r, t);
			if (!r.err)
				add_text(b, set, text);
		} else {
			proto_skip(&r, t);
		}
	}
	failed(b, &r);
}

/* RepeatedIntegers{integers=1}, packed or not */
static void ints_from_proto(struct builder *b, struct bytes bytes, struct int_set *set)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field != 1) {
			proto_skip(&r, t);
		} else if (t == PROTO_LENGTH) {
			struct proto_reader packed = proto_reader_of(proto_bytes(&r, t));
			while (!b->d->err && packed.p < packed.end)
				add_int(b, set, (int64_t)proto_varint(&packed, PROTO_VARINT));
			failed(b, &packed);
		} else {
			add_int(b, set, (int64_t)proto_varint(&r, t));
		}
	}
	failed(b, &r);
}

static enum condition_kind match_kind_of(uint32_t field)
{
	for (enum condition_kind k = (enum condition_kind)0; k < CONDITION_COUNT; k++)
		if (is_match(k) && columns[k].proto == field)
			return k;
	return CONDITION_COUNT;
}

static void match_from_proto(struct builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	c->kind = CONDITION_COUNT;
	while (!b->d->err && proto_next(&r, &field, &t)) {
		const struct later *later = later_of_field(match_later, LEN(match_later), field);
		if (later)
			message_later(b->d, later->words);
		enum condition_kind kind = match_kind_of(field);
		if (kind == CONDITION_COUNT) {
			proto_skip(&r, t);
			continue;
		}
		*c = (struct condition){ .kind = kind };
		if (kind == CONDITION_MATCH_TEXT_VALUE)
			c->text = proto_string(&r, t);
		else if (kind == CONDITION_MATCH_INT_VALUE)
			c->integer = proto_int64(&r, t);
		else if (kind == CONDITION_MATCH_BOOL_VALUE)
			c->boolean = proto_varint(&r, t) != 0;
		else if (kind == CONDITION_MATCH_ANY_TEXT || kind == CONDITION_MATCH_EXCEPT_TEXT)
			texts_from_proto(b, proto_bytes(&r, t), &c->texts);
		else
			ints_from_proto(b, proto_bytes(&r, t), &c->ints);
	}
	failed(b, &r);
	if (c->kind == CONDITION_COUNT)
		message_bad_input(b->d, "a match condition has no value");
}

/* Range{lt=1, gt=2, gte=3, lte=4} */
static void range_from_proto(struct builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct range *g = &c->range;
	enum proto_type t;
	uint32_t field;

	c->kind = CONDITION_RANGE;
	while (proto_next(&r, &field, &t)) {
		if (field < 1 || field > 4) {
			proto_skip(&r, t);
			continue;
		}
		double *bounds[] = { &g->lt, &g->gt, &g->gte, &g->lte };
		bool *given[] = { &g->has_lt, &g->has_gt, &g->has_gte, &g->has_lte };
		*bounds[field - 1] = proto_double(&r, t);
		*given[field - 1] = true;
		if (isnan(*bounds[field - 1]))
			message_bad_input(b->d, "a bound of a range is not a number");
	}
	failed(b, &r);
}

/* FieldCondition{key=1, match=2, range=3, …, is_empty=9, is_null=10} */
static void field_from_proto(struct builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct condition_list operators = { 0 };
	enum proto_type t;
	uint32_t field;
	struct str key = { .data = "" };

	while (!b->d->err && proto_next(&r, &field, &t)) {
		const struct later *later = later_of_field(field_later, LEN(field_later), field);
		bool empty = field == columns[CONDITION_FIELD_IS_EMPTY].proto;
		bool null = field == columns[CONDITION_FIELD_IS_NULL].proto;
		if (later)
			message_later(b->d, later->words);
		if (field == 1)
			key = proto_string(&r, t);
		if (field != 2 && field != 3 && !empty && !null) {
			if (field != 1)
				proto_skip(&r, t);
			continue;
		}
		struct condition *op = add(b, &operators);
		if (!op)
			return;
		if (field == 2)
			match_from_proto(b, proto_bytes(&r, t), op);
		else if (field == 3)
			range_from_proto(b, proto_bytes(&r, t), op);
		else
			*op = (struct condition){
				.kind = empty ? CONDITION_FIELD_IS_EMPTY : CONDITION_FIELD_IS_NULL,
				.boolean = proto_varint(&r, t) != 0,
			};
	}
	failed(b, &r);
	if (!b->d->err)
		set_key(b, c, key);
	if (!b->d->err)
		take_operators(b, c, &operators);
}

/* IsEmptyCondition, IsNullCondition {key=1}, HasVectorCondition{has_vector=1}, HasIdCondition{has_id=1: PointId[]} */
static void single_from_proto(struct builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct str text = { .data = "" };
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field != 1)
			proto_skip(&r, t);
		else if (c->kind == CONDITION_HAS_ID)
			add_id(b, &c->ids, message_point_id_from_proto(b->d, proto_bytes(&r, t)));
		else
			text = proto_string(&r, t);
	}
	failed(b, &r);
	if (c->kind == CONDITION_HAS_VECTOR)
		c->vector_name = text;
	else if (c->kind != CONDITION_HAS_ID && !b->d->err)
		set_key(b, c, text);
}

static void condition_from_proto(struct builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;
	bool given = false;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		const struct later *later = later_of_field(condition_later, LEN(condition_later), field);
		if (later)
			message_later(b->d, later->words);
		enum condition_kind kind = (enum condition_kind)0;
		while (kind < CONDITION_COUNT && (is_field(kind) || columns[kind].proto != field))
			kind++;
		if (field != 1 && kind == CONDITION_COUNT) {
			proto_skip(&r, t);
			continue;
		}
		struct bytes inner = proto_bytes(&r, t);
		*c = (struct condition){ .kind = kind };
		given = true;
		if (field == 1) {
			field_from_proto(b, inner, c);
		} else if (kind == CONDITION_FILTER) {
			struct filter *f = message_array(b->d, 1, sizeof(*f));
			if (!f || !go_deeper(b))
				return;
			c->filter = f;
			filter_from_message(b, inner, f);
			b->depth--;
		} else {
			single_from_proto(b, inner, c);
		}
	}
	failed(b, &r);
	if (!given)
		message_bad_input(b->d, "a condition of a filter is empty");
}

static void add_from_proto(struct builder *b, struct bytes bytes, struct condition_list *list)
{
	struct condition c = { 0 };

	condition_from_proto(b, bytes, &c);
	struct condition *at = b->d->err ? NULL : add(b, list);
	if (at)
		*at = c;
}

/* MinShould{conditions=1, min_count=2} */
static void min_should_from_proto(struct builder *b, struct bytes bytes, struct filter *f)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			add_from_proto(b, proto_bytes(&r, t), &f->min_should);
		else if (field == 2)
			set_min_count(f, proto_varint(&r, t));
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
	f->has_min_should = true;
}

/* Filter{should=1, must=2, must_not=3, min_should=4} */
static void filter_from_message(struct builder *b, struct bytes bytes, struct filter *f)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct condition_list *clauses[] = { &f->should, &f->must, &f->must_not };
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field <= LEN(clauses))
			add_from_proto(b, proto_bytes(&r, t), clauses[field - 1]);
		else if (field == 4)
			min_should_from_proto(b, proto_bytes(&r, t), f);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
}

static void filter_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t, void *member)
{
	struct builder b = { .d = d };
	struct bytes bytes = proto_bytes(r, t);
	struct filter *f = message_array(d, 1, sizeof(*f));

	if (r->err || !f || !go_deeper(&b))
		return;
	filter_from_message(&b, bytes, f);
	if (!d->err)
		take_filter(d, f, member);
}

/* ---- to JSON ---- */

static void put_filter(const struct filter *f, struct json_writer *w);

static void put_bound(struct json_writer *w, bool has, struct str key, double bound)
{
	if (!has)
		return;
	json_put_key(w, key);
	json_put_f64(w, bound);
}

/* What stands behind the condition's own key. */
static void put_argument(const struct condition *c, struct json_writer *w)
{
	switch (c->kind) {
	case CONDITION_MATCH_TEXT_VALUE:
		json_put_string(w, c->text);
		return;
	case CONDITION_MATCH_INT_VALUE:
		json_put_i64(w, c->integer);
		return;
	case CONDITION_MATCH_BOOL_VALUE:
	case CONDITION_FIELD_IS_EMPTY:
	case CONDITION_FIELD_IS_NULL:
		json_put_bool(w, c->boolean);
		return;
	case CONDITION_MATCH_ANY_TEXT:
	case CONDITION_MATCH_EXCEPT_TEXT:
		json_put_array(w);
		for (uint32_t i = 0; i < c->texts.count; i++)
			json_put_string(w, c->texts.items[i]);
		json_put_array_end(w);
		return;
	case CONDITION_MATCH_ANY_INT:
	case CONDITION_MATCH_EXCEPT_INT:
		json_put_array(w);
		for (uint32_t i = 0; i < c->ints.count; i++)
			json_put_i64(w, c->ints.items[i]);
		json_put_array_end(w);
		return;
	case CONDITION_RANGE:
		json_put_object(w);
		put_bound(w, c->range.has_lt, STR("lt"), c->range.lt);
		put_bound(w, c->range.has_gt, STR("gt"), c->range.gt);
		put_bound(w, c->range.has_gte, STR("gte"), c->range.gte);
		put_bound(w, c->range.has_lte, STR("lte"), c->range.lte);
		json_put_object_end(w);
		return;
	case CONDITION_IS_EMPTY:
	case CONDITION_IS_NULL:
		json_put_object(w);
		json_put_key(w, STR("key"));
		json_put_string(w, c->key.text);
		json_put_object_end(w);
		return;
	case CONDITION_HAS_ID:
		json_put_array(w);
		for (uint32_t i = 0; i < c->ids.count; i++)
			message_point_id_to_json(c->ids.items[i], w);
		json_put_array_end(w);
		return;
	case CONDITION_HAS_VECTOR:
		json_put_string(w, c->vector_name);
		return;
	case CONDITION_FILTER:
	case CONDITION_COUNT:
		break;
	}
	PANIC("a condition without an argument");
}

static void put_condition(const struct condition *c, struct json_writer *w)
{
	const char *json = columns[c->kind].json;
	struct str key = { .data = json, .len = strlen(json) };

	if (c->kind == CONDITION_FILTER) {
		put_filter(c->filter, w);
		return;
	}
	json_put_object(w);
	if (is_field(c->kind)) {
		json_put_key(w, STR("key"));
		json_put_string(w, c->key.text);
	}
	if (is_match(c->kind)) {
		json_put_key(w, STR("match"));
		json_put_object(w);
	}
	json_put_key(w, key);
	put_argument(c, w);
	if (is_match(c->kind))
		json_put_object_end(w);
	json_put_object_end(w);
}

static void put_conditions(const struct condition_list *list, struct json_writer *w)
{
	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		put_condition(&list->items[i], w);
	json_put_array_end(w);
}

static void put_clause(struct str key, const struct condition_list *list, struct json_writer *w)
{
	if (list->count == 0)
		return;
	json_put_key(w, key);
	put_conditions(list, w);
}

static void put_filter(const struct filter *f, struct json_writer *w)
{
	json_put_object(w);
	put_clause(STR("should"), &f->should, w);
	put_clause(STR("must"), &f->must, w);
	put_clause(STR("must_not"), &f->must_not, w);
	if (f->has_min_should) {
		json_put_key(w, STR("min_should"));
		json_put_object(w);
		json_put_key(w, STR("conditions"));
		put_conditions(&f->min_should, w);
		json_put_key(w, STR("min_count"));
		json_put_u64(w, f->min_count);
		json_put_object_end(w);
	}
	json_put_object_end(w);
}

static void filter_to_json(const void *member, struct json_writer *w)
{
	const struct filter *f = *(const struct filter *const *)member;

	put_filter(f, w);
}

/* ---- to protobuf ---- */

static void put_filter_fields(const struct filter *f, struct buf *out);

static void put_ints(const struct int_set *set, struct buf *out)
{
	for (uint32_t i = 0; i < set->count; i++)
		proto_put_varint(out, 1, (uint64_t)set->items[i]);
}

static void put_texts(const struct text_set *set, struct buf *out)
{
	for (uint32_t i = 0; i < set->count; i++)
		proto_put_bytes(out, 1, set->items[i].data, set->items[i].len);
}

/* The condition's own field, in whichever message has it. */
static void put_own_field(const struct condition *c, struct buf *out)
{
	uint32_t field = columns[c->kind].proto;
	bool scalar = c->kind == CONDITION_MATCH_TEXT_VALUE || c->kind == CONDITION_MATCH_INT_VALUE ||
		      c->kind == CONDITION_MATCH_BOOL_VALUE || c->kind == CONDITION_FIELD_IS_EMPTY ||
		      c->kind == CONDITION_FIELD_IS_NULL;
	size_t mark = scalar ? 0 : proto_begin(out, field);

	switch (c->kind) {
	case CONDITION_MATCH_TEXT_VALUE:
		proto_put_bytes(out, field, c->text.data, c->text.len);
		break;
	case CONDITION_MATCH_INT_VALUE:
		proto_put_varint(out, field, (uint64_t)c->integer);
		break;
	case CONDITION_MATCH_BOOL_VALUE:
	case CONDITION_FIELD_IS_EMPTY:
	case CONDITION_FIELD_IS_NULL:
		proto_put_varint(out, field, c->boolean);
		break;
	case CONDITION_MATCH_ANY_TEXT:
	case CONDITION_MATCH_EXCEPT_TEXT:
		put_texts(&c->texts, out);
		break;
	case CONDITION_MATCH_ANY_INT:
	case CONDITION_MATCH_EXCEPT_INT:
		put_ints(&c->ints, out);
		break;
	case CONDITION_RANGE:
		if (c->range.has_lt)
			proto_put_double(out, 1, c->range.lt);
		if (c->range.has_gt)
			proto_put_double(out, 2, c->range.gt);
		if (c->range.has_gte)
			proto_put_double(out, 3, c->range.gte);
		if (c->range.has_lte)
			proto_put_double(out, 4, c->range.lte);
		break;
	case CONDITION_IS_EMPTY:
	case CONDITION_IS_NULL:
		proto_put_bytes(out, 1, c->key.text.data, c->key.text.len);
		break;
	case CONDITION_HAS_ID:
		for (uint32_t i = 0; i < c->ids.count; i++)
			kind_point_id.to_proto(&c->ids.items[i], 1, out);
		break;
	case CONDITION_HAS_VECTOR:
		proto_put_bytes(out, 1, c->vector_name.data, c->vector_name.len);
		break;
	case CONDITION_FILTER:
		put_filter_fields(c->filter, out);
		break;
	case CONDITION_COUNT:
		PANIC("no condition");
	}
	if (!scalar)
		proto_end(out, mark);
}

static void put_condition_message(const struct condition *c, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	if (is_field(c->kind)) {
		size_t inner = proto_begin(out, 1);
		proto_put_bytes(out, 1, c->key.text.data, c->key.text.len);
		if (is_match(c->kind)) {
			size_t match = proto_begin(out, 2);
			put_own_field(c, out);
			proto_end(out, match);
		} else {
			put_own_field(c, out);
		}
		proto_end(out, inner);
	} else {
		put_own_field(c, out);
	}
	proto_end(out, mark);
}

static void put_filter_fields(const struct filter *f, struct buf *out)
{
	for (uint32_t i = 0; i < f->should.count; i++)
		put_condition_message(&f->should.items[i], 1, out);
	for (uint32_t i = 0; i < f->must.count; i++)
		put_condition_message(&f->must.items[i], 2, out);
	for (uint32_t i = 0; i < f->must_not.count; i++)
		put_condition_message(&f->must_not.items[i], 3, out);
	if (!f->has_min_should)
		return;
	size_t mark = proto_begin(out, 4);
	for (uint32_t i = 0; i < f->min_should.count; i++)
		put_condition_message(&f->min_should.items[i], 1, out);
	proto_put_varint(out, 2, f->min_count);
	proto_end(out, mark);
}

static void filter_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct filter *f = *(const struct filter *const *)member;
	size_t mark = proto_begin(out, field);

	put_filter_fields(f, out);
	proto_end(out, mark);
}

const struct message_custom kind_filter = {
	.size = sizeof(const struct filter *),
	.from_json = filter_from_json,
	.from_proto = filter_from_proto,
	.to_json = filter_to_json,
	.to_proto = filter_to_proto,
};
