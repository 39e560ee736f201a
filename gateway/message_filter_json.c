/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from and to JSON.
 */
#include "gateway/message_filter.h"

#include <string.h>

#include "base/panic.h"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* ---- from JSON ---- */

static void filter_from_object(struct filter_builder *b, struct json_reader *r, struct filter *f);

static void value_from_json_match(struct filter_builder *b, struct json_reader *r,
				  struct condition *c)
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
static void set_from_json(struct filter_builder *b, struct json_reader *r, bool except,
			  struct condition *c)
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
			message_filter_add_int(b, &c->ints, json_i64(r));
			continue;
		}
		struct str text = json_string(r);
		if (!json_failed(r))
			message_filter_add_text(b, &c->texts, text);
	}
}

static void match_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;
	uint32_t keys = 0;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		const char *later = message_filter_later_key(FILTER_MATCH, key);
		if (later) {
			message_later(b->d, later);
			return;
		}
		keys++;
		if (is_word(key, "value"))
			value_from_json_match(b, r, c);
		else if (is_word(key, "any") || is_word(key, "except"))
			set_from_json(b, r, is_word(key, "except"), c);
		else
			message_json_fail(b->d, r,
					  "data did not match any variant of untagged enum Match");
	}
	if (!b->d->err && keys != 1)
		message_json_fail(b->d, r, "data did not match any variant of untagged enum Match");
}

/* One bound; a string is a date. */
static void bound_from_json(struct filter_builder *b, struct json_reader *r, bool *has,
			    double *bound)
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

static void range_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
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

static void operator_from_json(struct filter_builder *b, struct json_reader *r, struct str key,
			       struct condition_list *list)
{
	const char *later = message_filter_later_key(FILTER_FIELD, key);
	if (later) {
		message_later(b->d, later);
		return;
	}
	bool match = is_word(key, "match"), range = is_word(key, "range");
	bool empty = is_word(key, "is_empty"), null = is_word(key, "is_null");
	if (!match && !range && !empty && !null) {
		json_skip(r); /* Qdrant passes over unknown keys here */
		return;
	}
	struct condition *c = message_filter_add(b, list);
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

static void field_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct condition_list operators = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "key")) {
			struct str text = json_string(r);
			if (!json_failed(r))
				message_filter_set_key(b, c, text);
		} else if (json_peek(r) == JSON_NULL) {
			json_null(r);
		} else {
			operator_from_json(b, r, key, &operators);
		}
	}
	if (!b->d->err && !json_failed(r))
		message_filter_take_operators(b, c, &operators);
}

/* {"key": …} of is_empty and is_null. */
static void payload_field_from_json(struct filter_builder *b, struct json_reader *r,
				    struct condition *c)
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
			message_filter_set_key(b, c, text);
		given = true;
	}
	if (!given)
		json_fail(r, "missing field `key`");
}

static void ids_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r)) {
		struct point_id id = message_point_id_from_json(b->d, r);
		if (!json_failed(r))
			message_filter_add_id(b, &c->ids, id);
	}
}

/* What an object is, by its keys. Looks, and reads nothing. */
static enum condition_kind classify(struct filter_builder *b, struct json_reader ahead,
				    struct str *ret_key)
{
	static const enum condition_kind kinds[] = {
		CONDITION_IS_EMPTY,
		CONDITION_IS_NULL,
		CONDITION_HAS_ID,
		CONDITION_HAS_VECTOR,
	};
	enum condition_kind kind = CONDITION_FILTER;
	struct str key;

	if (!json_enter_object(&ahead))
		return kind;
	while (json_next_key(&ahead, &key)) {
		const char *later = message_filter_later_key(FILTER_CONDITION, key);
		if (later)
			message_later(b->d, later);
		if (is_word(key, "key"))
			return CONDITION_RANGE; /* stands for all field conditions */
		for (uint32_t i = 0; i < LEN(kinds); i++)
			if (is_word(key, message_filter_key(kinds[i]))) {
				kind = kinds[i];
				*ret_key = key;
			}
		json_skip(&ahead);
	}
	return kind;
}

static void single_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (!is_word(key, message_filter_key(c->kind)))
			json_skip(r);
		else if (c->kind == CONDITION_HAS_ID)
			ids_from_json(b, r, c);
		else if (c->kind == CONDITION_HAS_VECTOR)
			c->vector_name = json_string(r);
		else
			payload_field_from_json(b, r, c);
	}
}

static void condition_from_json(struct filter_builder *b, struct json_reader *r,
				struct condition *c)
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
		if (!inner || !message_filter_deeper(b))
			return;
		c->filter = inner;
		filter_from_object(b, r, inner);
		b->depth--;
	} else {
		single_from_json(b, r, c);
	}
}

/* add() may move the list, so each condition is built aside. */
static void add_from_json(struct filter_builder *b, struct json_reader *r,
			  struct condition_list *list)
{
	struct condition c = { 0 };

	condition_from_json(b, r, &c);
	struct condition *at = b->d->err ? NULL : message_filter_add(b, list);
	if (at)
		*at = c;
}

static void clause_from_json(struct filter_builder *b, struct json_reader *r,
			     struct condition_list *list)
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

static void min_should_from_json(struct filter_builder *b, struct json_reader *r, struct filter *f)
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
			message_filter_set_min_count(f, json_u64(r));
			has_count = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_conditions || !has_count)
		json_fail(r, has_conditions ? "missing field `min_count`"
					    : "missing field `conditions`");
	f->has_min_should = true;
}

static void filter_from_object(struct filter_builder *b, struct json_reader *r, struct filter *f)
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
			message_json_fail(
				b->d, r,
				"unknown field `%.*s`, expected one of `should`, `min_should`, `must`, `must_not`",
				(int)MIN(key.len, (size_t)64), key.data);
		message_leave(b->d);
	}
}

void message_filter_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct filter_builder b = { .d = d };
	struct filter *f = message_array(d, 1, sizeof(*f));

	if (!f || !message_filter_deeper(&b))
		return;
	filter_from_object(&b, r, f);
	if (!d->err && !json_failed(r))
		message_filter_take(d, f, member);
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
	const char *json = message_filter_key(c->kind);
	struct str key = { .data = json, .len = strlen(json) };

	if (c->kind == CONDITION_FILTER) {
		put_filter(c->filter, w);
		return;
	}
	json_put_object(w);
	if (message_filter_is_field(c->kind)) {
		json_put_key(w, STR("key"));
		json_put_string(w, c->key.text);
	}
	if (message_filter_is_match(c->kind)) {
		json_put_key(w, STR("match"));
		json_put_object(w);
	}
	json_put_key(w, key);
	put_argument(c, w);
	if (message_filter_is_match(c->kind))
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

void message_filter_to_json(const void *member, struct json_writer *w)
{
	const struct filter *f = *(const struct filter *const *)member;

	put_filter(f, w);
}
