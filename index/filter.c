/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation of filters. A field condition looks at every value that its path finds, and one that
 * matches is enough. A list there is looked into one level deep: each element is tried, lists in
 * lists are not. The two forms of is_empty and is_null look at the found value as a whole.
 * Recursion goes as deep as filters nest, which filter_prepare() bounds.
 */
#include "index/filter.h"

#include "index/order.h"

#include <stdlib.h>

/* --- sets --- */

static int text_order(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static int int_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int id_order(const void *a, const void *b)
{
	return point_id_compare(*(const struct point_id *)a, *(const struct point_id *)b);
}

static bool text_set_has(const struct text_set *set, struct str text)
{
	return set->count && bsearch(&text, set->items, set->count, sizeof(text), text_order);
}

static bool int_set_has(const struct int_set *set, int64_t integer)
{
	return set->count && bsearch(&integer, set->items, set->count, sizeof(integer), int_order);
}

static bool id_set_has(const struct id_set *set, struct point_id id)
{
	return set->count && bsearch(&id, set->items, set->count, sizeof(id), id_order);
}

/* --- one scalar --- */

/* May the condition be true of this value, a list taken as one value? */
typedef bool (*scalar_fn)(const struct condition *c, struct value v);

static bool is_text(const struct condition *c, struct value v)
{
	return value_kind(v) == VALUE_STRING && str_compare(value_string(v), c->text) == 0;
}

static bool is_int(const struct condition *c, struct value v)
{
	return value_kind(v) == VALUE_INT && value_int(v) == c->integer;
}

static bool is_bool(const struct condition *c, struct value v)
{
	return value_kind(v) == (c->boolean ? VALUE_TRUE : VALUE_FALSE);
}

static bool is_any_text(const struct condition *c, struct value v)
{
	return value_kind(v) == VALUE_STRING && text_set_has(&c->texts, value_string(v));
}

static bool is_any_int(const struct condition *c, struct value v)
{
	return value_kind(v) == VALUE_INT && int_set_has(&c->ints, value_int(v));
}

/* What is of another kind than the set's is none of it; only null is nothing. */
static bool is_other_text(const struct condition *c, struct value v)
{
	return value_kind(v) != VALUE_NULL && !is_any_text(c, v);
}

static bool is_other_int(const struct condition *c, struct value v)
{
	return value_kind(v) != VALUE_NULL && !is_any_int(c, v);
}

static bool is_in_range(const struct condition *c, struct value v)
{
	const struct range *r = &c->range;
	double n;

	if (!value_number(v, &n))
		return false;
	return (!r->has_lt || n < r->lt) && (!r->has_gt || n > r->gt) &&
	       (!r->has_lte || n <= r->lte) && (!r->has_gte || n >= r->gte);
}

/* --- values that a path finds --- */

static bool is_empty_value(struct value v)
{
	enum value_kind kind = value_kind(v);
	return kind == VALUE_NULL || (kind == VALUE_LIST && value_count(v) == 0);
}

static bool is_null_or_has_null(struct value v)
{
	if (value_kind(v) != VALUE_LIST)
		return value_kind(v) == VALUE_NULL;
	struct value_iter it = value_items(v);
	struct value item;
	while (value_next(&it, NULL, &item))
		if (value_kind(item) == VALUE_NULL)
			return true;
	return false;
}

struct walk {
	const struct condition *condition;
	scalar_fn scalar;
	bool found; /* the path found anything */
};

static bool try_value(void *ctx, struct value v)
{
	const struct walk *w = ctx;

	if (value_kind(v) != VALUE_LIST)
		return w->scalar(w->condition, v);
	struct value_iter it = value_items(v);
	struct value item;
	while (value_next(&it, NULL, &item))
		if (w->scalar(w->condition, item))
			return true;
	return false;
}

static bool try_empty(void *ctx, struct value v)
{
	struct walk *w = ctx;

	w->found = true;
	return is_empty_value(v) == w->condition->boolean;
}

static bool try_null(void *ctx, struct value v)
{
	struct walk *w = ctx;

	w->found = true;
	return is_null_or_has_null(v) == w->condition->boolean;
}

static bool found_not_empty(UNUSED void *ctx, struct value v)
{
	return !is_empty_value(v);
}

static bool found_null(UNUSED void *ctx, struct value v)
{
	return value_kind(v) == VALUE_NULL;
}

static bool walk_payload(const struct condition *c, const struct filter_subject *s,
			 bool (*fn)(void *ctx, struct value found), void *ctx)
{
	return s->payload.data && path_walk(&c->key, s->payload, fn, ctx);
}

static bool any_value(const struct condition *c, const struct filter_subject *s, scalar_fn scalar)
{
	struct walk w = { .condition = c, .scalar = scalar };
	return walk_payload(c, s, try_value, &w);
}

/* --- evaluators, one for each row of filter.def --- */

static bool eval_match_text_value(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_text);
}

static bool eval_match_int_value(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_int);
}

static bool eval_match_bool_value(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_bool);
}

static bool eval_match_any_text(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_any_text);
}

static bool eval_match_any_int(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_any_int);
}

static bool eval_match_except_int(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_other_int);
}

static bool eval_match_except_text(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_other_text);
}

static bool eval_range(const struct condition *c, const struct filter_subject *s)
{
	return any_value(c, s, is_in_range);
}

/* A missing key counts as empty. */
static bool eval_field_is_empty(const struct condition *c, const struct filter_subject *s)
{
	struct walk w = { .condition = c };
	return walk_payload(c, s, try_empty, &w) || (!w.found && c->boolean);
}

/* A missing key counts as not null. */
static bool eval_field_is_null(const struct condition *c, const struct filter_subject *s)
{
	struct walk w = { .condition = c };
	return walk_payload(c, s, try_null, &w) || (!w.found && !c->boolean);
}

static bool eval_is_empty(const struct condition *c, const struct filter_subject *s)
{
	return !walk_payload(c, s, found_not_empty, NULL);
}

static bool eval_is_null(const struct condition *c, const struct filter_subject *s)
{
	return walk_payload(c, s, found_null, NULL);
}

static bool eval_has_id(const struct condition *c, const struct filter_subject *s)
{
	return id_set_has(&c->ids, s->id);
}

static bool eval_has_vector(const struct condition *c, const struct filter_subject *s)
{
	return s->has_vector && s->has_vector(s, c->vector_name);
}

static bool eval_filter(const struct condition *c, const struct filter_subject *s)
{
	return filter_match(c->filter, s);
}

static bool (*const evaluators[CONDITION_COUNT])(const struct condition *c,
						 const struct filter_subject *s) = {
#define COND(name, json_key, proto_tag, evaluator) [CONDITION_##name] = evaluator,
#include "index/filter.def"
#undef COND
};

/* --- filters --- */

static bool holds(const struct condition *c, const struct filter_subject *s)
{
	return evaluators[c->kind](c, s);
}

/* Are there `wanted` that hold? Looks no further than it must. */
static bool at_least(const struct condition_list *list, uint32_t wanted,
		     const struct filter_subject *s)
{
	for (uint32_t i = 0; i < list->count && wanted > 0; i++)
		if (holds(&list->items[i], s))
			wanted--;
	return wanted == 0;
}

bool filter_match(const struct filter *f, const struct filter_subject *s)
{
	if (!f)
		return true;
	for (uint32_t i = 0; i < f->must.count; i++)
		if (!holds(&f->must.items[i], s))
			return false;
	for (uint32_t i = 0; i < f->must_not.count; i++)
		if (holds(&f->must_not.items[i], s))
			return false;
	if (f->should.count > 0 && !at_least(&f->should, 1, s))
		return false;
	return !f->has_min_should || at_least(&f->min_should, f->min_count, s);
}

/* --- preparation --- */

struct budget {
	uint32_t conditions;
	uint32_t values;
	struct fault *reterr_fault;
};

static enum err prepare_filter(struct filter *f, unsigned depth, struct budget *left);

static enum err take_values(struct budget *left, uint32_t count)
{
	if (count > left->values)
		return fault_set(left->reterr_fault, ERR_BAD_INPUT,
				 "the filter lists more than %d values", FILTER_VALUES_MAX);
	left->values -= count;
	return ERR_NONE;
}

static enum err prepare_set(void *items, uint32_t count, size_t size,
			    int (*order)(const void *a, const void *b), struct budget *left)
{
	enum err e = take_values(left, count);
	if (!e && count > 0)
		qsort(items, count, size, order);
	return e;
}

static enum err prepare_condition(struct condition *c, unsigned depth, struct budget *left)
{
	switch (c->kind) {
	case CONDITION_MATCH_ANY_TEXT:
	case CONDITION_MATCH_EXCEPT_TEXT:
		return prepare_set(c->texts.items, c->texts.count, sizeof(*c->texts.items),
				   text_order, left);
	case CONDITION_MATCH_ANY_INT:
	case CONDITION_MATCH_EXCEPT_INT:
		return prepare_set(c->ints.items, c->ints.count, sizeof(*c->ints.items), int_order,
				   left);
	case CONDITION_HAS_ID:
		return prepare_set(c->ids.items, c->ids.count, sizeof(*c->ids.items), id_order,
				   left);
	case CONDITION_FILTER:
		return c->filter ? prepare_filter(c->filter, depth + 1, left) : ERR_NONE;
	case CONDITION_MATCH_TEXT_VALUE:
	case CONDITION_MATCH_INT_VALUE:
	case CONDITION_MATCH_BOOL_VALUE:
	case CONDITION_RANGE:
	case CONDITION_FIELD_IS_EMPTY:
	case CONDITION_FIELD_IS_NULL:
	case CONDITION_IS_EMPTY:
	case CONDITION_IS_NULL:
	case CONDITION_HAS_VECTOR:
		return ERR_NONE;
	case CONDITION_COUNT:
		break;
	}
	return fault_set(left->reterr_fault, ERR_BAD_INPUT,
			 "the filter has a condition of unknown kind");
}

static enum err prepare_list(struct condition_list *list, unsigned depth, struct budget *left)
{
	if (list->count > left->conditions)
		return fault_set(left->reterr_fault, ERR_BAD_INPUT,
				 "the filter has more than %d conditions", FILTER_CONDITIONS_MAX);
	left->conditions -= list->count;
	for (uint32_t i = 0; i < list->count; i++) {
		enum err e = prepare_condition(&list->items[i], depth, left);
		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err prepare_filter(struct filter *f, unsigned depth, struct budget *left)
{
	struct condition_list *lists[] = { &f->must, &f->should, &f->must_not, &f->min_should };

	if (depth > FILTER_DEPTH_MAX)
		return fault_set(left->reterr_fault, ERR_BAD_INPUT,
				 "the filter is nested deeper than %d", FILTER_DEPTH_MAX);
	for (size_t i = 0; i < LEN(lists); i++) {
		enum err e = prepare_list(lists[i], depth, left);
		if (e)
			return e;
	}
	return ERR_NONE;
}

enum err filter_prepare(struct filter *f, struct fault *reterr_fault)
{
	struct budget left = {
		.conditions = FILTER_CONDITIONS_MAX,
		.values = FILTER_VALUES_MAX,
		.reterr_fault = reterr_fault,
	};
	return prepare_filter(f, 1, &left);
}
