/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation of filters. A field condition looks at every value that its path finds, and one that
 * matches is enough. A list there is looked into one level deep: each element is tried, lists in
 * lists are not. The two forms of is_empty and is_null, and values_count, look at the found value as a whole.
 * Recursion goes as deep as filters nest, which filter_prepare() bounds.
 */
#include "index/filter.h"

#include "index/order.h"
#include "index/siphash.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

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

static bool is_prefixed(const struct condition *c, struct value v)
{
	if (value_kind(v) != VALUE_STRING)
		return false;
	struct str text = value_string(v);
	return text.len >= c->text.len && (c->text.len == 0 || memcmp(text.data, c->text.data, c->text.len) == 0);
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

static bool is_in_time(const struct condition *c, struct value v)
{
	const struct datetime_range *r = &c->times;
	int64_t us;

	if (value_kind(v) != VALUE_STRING || !datetime_parse(value_string(v), &us))
		return false;
	return (!r->has_lt || us < r->lt) && (!r->has_gt || us > r->gt) && (!r->has_lte || us <= r->lte) &&
	       (!r->has_gte || us >= r->gte);
}

static bool is_in_box(const struct condition *c, struct value v)
{
	struct geo_point p;
	return geo_point_of(v, &p) && geo_box_has(&c->box, p);
}

static bool is_in_circle(const struct condition *c, struct value v)
{
	struct geo_point p;
	return geo_point_of(v, &p) && geo_circle_has(&c->circle, p);
}

static bool is_in_polygon(const struct condition *c, struct value v)
{
	struct geo_point p;
	return geo_point_of(v, &p) && geo_polygon_has(&c->polygon, p);
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
	const struct filter_subject *subject; /* of try_element: all but the payload */
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

static bool is_counted(const struct count_range *r, uint64_t n)
{
	return (!r->has_lt || n < r->lt) && (!r->has_gt || n > r->gt) && (!r->has_lte || n <= r->lte) &&
	       (!r->has_gte || n >= r->gte);
}

static bool try_count(void *ctx, struct value v)
{
	struct walk *w = ctx;
	enum value_kind kind = value_kind(v);

	w->found = true;
	return is_counted(&w->condition->counts, kind == VALUE_LIST ? value_count(v) : kind != VALUE_NULL);
}

static bool try_element(void *ctx, struct value v)
{
	const struct walk *w = ctx;
	struct filter_subject element = *w->subject;

	element.payload = v;
	return value_kind(v) == VALUE_OBJECT && filter_match(w->condition->filter, &element);
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

/* --- text --- */

static bool has_text(struct value v, struct str part)
{
	struct str text = value_string(v);
	return part.len == 0 || memmem(text.data, text.len, part.data, part.len);
}

static bool is_containing(const struct condition *c, struct value v)
{
	return value_kind(v) == VALUE_STRING && has_text(v, c->text);
}

/* One of the words of the text. */
static bool is_containing_any(const struct condition *c, struct value v)
{
	static const char spaces[] = " \t\n\v\f\r";
	const char *p = c->text.data, *end = p + c->text.len;

	if (value_kind(v) != VALUE_STRING)
		return false;
	while (p < end) {
		const char *word = p;
		while (p < end && !memchr(spaces, *p, sizeof(spaces) - 1))
			p++;
		if (p > word && has_text(v, (struct str){ .data = word, .len = (size_t)(p - word) }))
			return true;
		p += p < end;
	}
	return false;
}

/* All words at the key, those of one value after those of the other. */
struct document {
	const struct words *words;
	struct buf row;
};

static bool add_words(void *ctx, struct value v)
{
	struct document *d = ctx;

	if (value_kind(v) == VALUE_STRING)
		return words_append(d->words, value_string(v), WORDS_OF_DOCUMENT, &d->row) != ERR_NONE;
	if (value_kind(v) != VALUE_LIST)
		return false;
	struct value_iter it = value_items(v);
	struct value item;
	while (value_next(&it, NULL, &item))
		if (value_kind(item) == VALUE_STRING &&
		    words_append(d->words, value_string(item), WORDS_OF_DOCUMENT, &d->row) != ERR_NONE)
			return true;
	return false;
}

/* The words of all values taken together, as an index has them. */
static bool by_words(const struct condition *c, const struct filter_subject *s, const struct words *words,
		     enum words_role role, bool (*in)(const struct buf *query, const struct buf *document))
{
	CLEANUP(buf_release) struct buf query = BUF_INIT(SIZE_MAX);
	struct document d = { .words = words, .row = BUF_INIT(SIZE_MAX) };
	enum err e = words_append(words, c->text, role, &query);
	bool found = false;

	if (!e && walk_payload(c, s, add_words, &d))
		e = ERR_NO_MEMORY;
	if (!e)
		found = in(&query, &d.row);
	else if (s->failed)
		*s->failed = e;
	buf_release(&d.row);
	return found;
}

static const struct words *words_of(const struct condition *c, const struct filter_subject *s)
{
	return s->words ? s->words(s, &c->key) : NULL;
}

static bool eval_match_text(const struct condition *c, const struct filter_subject *s)
{
	const struct words *words = words_of(c, s);
	return words ? by_words(c, s, words, WORDS_OF_QUERY, words_all_in) : any_value(c, s, is_containing);
}

static bool eval_match_text_any(const struct condition *c, const struct filter_subject *s)
{
	const struct words *words = words_of(c, s);
	return words ? by_words(c, s, words, WORDS_OF_QUERY, words_any_in) : any_value(c, s, is_containing_any);
}

/* With words, but without phrases, none is found. */
static bool eval_match_phrase(const struct condition *c, const struct filter_subject *s)
{
	const struct words *words = words_of(c, s);

	if (!words)
		return any_value(c, s, is_containing);
	return words_have_phrases(words) && by_words(c, s, words, WORDS_OF_DOCUMENT, words_phrase_in);
}

/* --- those that do not look at one value after the other --- */

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

/* A missing key has no values, as null. */
static bool eval_values_count(const struct condition *c, const struct filter_subject *s)
{
	struct walk w = { .condition = c };
	return walk_payload(c, s, try_count, &w) || (!w.found && is_counted(&c->counts, 0));
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
	return !s->within && id_set_has(&c->ids, s->id);
}

static bool eval_has_vector(const struct condition *c, const struct filter_subject *s)
{
	return s->has_vector && s->has_vector(s, c->vector_name);
}

static bool eval_filter(const struct condition *c, const struct filter_subject *s)
{
	return filter_match(c->filter, s);
}

/* An element on its own satisfies all of the filter. The key ends with [], so elements are what is found. */
static bool eval_nested(const struct condition *c, const struct filter_subject *s)
{
	struct filter_subject element = { .words = s->words, .ctx = s->ctx, .failed = s->failed };
	struct path joined = c->key;

	if (s->within && s->within->count + c->key.count <= PATH_STEPS_MAX) {
		joined = *s->within;
		for (uint32_t i = 0; i < c->key.count; i++)
			joined.steps[joined.count++] = c->key.steps[i];
	} else if (s->within) {
		element.words = NULL; /* no index's key is so long */
	}
	element.within = &joined;
	struct walk w = { .condition = c, .subject = &element };
	return walk_payload(c, s, try_element, &w);
}

/* By the bytes of a UUID, of a number by those of its little-endian form. */
static bool eval_slice(const struct condition *c, const struct filter_subject *s)
{
	const uint64_t number = htole64(s->id.lo), uuid[] = { htobe64(s->id.hi), htobe64(s->id.lo) };

	if (s->within || c->slice.total == 0)
		return false;
	uint64_t hash = s->id.kind == POINT_ID_NUM ? siphash24(&number, sizeof(number)) : siphash24(uuid, sizeof(uuid));
	return hash % c->slice.total == c->slice.index;
}

/* --- kinds --- */

static const struct kind {
	enum condition_object object;
	enum condition_argument argument;
	scalar_fn each;
	bool (*whole)(const struct condition *c, const struct filter_subject *s);
} kinds[CONDITION_COUNT] = {
#define EACH(fn) .each = fn
#define WHOLE(fn) .whole = fn
#define COND(name, object_, json_key, proto_tag, argument_, evaluator) \
	[CONDITION_##name] = { .object = OBJECT_##object_, .argument = ARGUMENT_##argument_, evaluator },
#include "index/filter.def"
#undef COND
#undef EACH
#undef WHOLE
};

enum condition_object condition_object_of(enum condition_kind kind)
{
	return kinds[kind].object;
}

enum condition_argument condition_argument_of(enum condition_kind kind)
{
	return kinds[kind].argument;
}

/* --- filters --- */

static bool holds(const struct condition *c, const struct filter_subject *s)
{
	const struct kind *kind = &kinds[c->kind];
	return kind->each ? any_value(c, s, kind->each) : kind->whole(c, s);
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

static enum err prepare_polygon(const struct geo_polygon *g, struct budget *left)
{
	enum err e = take_values(left, g->exterior.count);

	if (!e)
		e = geo_ring_check(&g->exterior, left->reterr_fault);
	for (uint32_t i = 0; !e && i < g->interior_count; i++) {
		e = take_values(left, g->interiors[i].count);
		if (!e)
			e = geo_ring_check(&g->interiors[i], left->reterr_fault);
	}
	return e;
}

/* The key is that of an array, whether it is written with [] or not. */
static enum err prepare_nested(struct condition *c, unsigned depth, struct budget *left)
{
	struct path *key = &c->key;

	if (key->count == 0 || key->steps[key->count - 1].kind != PATH_ALL) {
		if (key->count == PATH_STEPS_MAX)
			return fault_set(left->reterr_fault, ERR_BAD_INPUT,
					 "payload path `%.*s` has more than %d steps, one of them to the elements",
					 STR_FMT(key->text), PATH_STEPS_MAX);
		key->steps[key->count++] = (struct path_step){ .kind = PATH_ALL };
	}
	return c->filter ? prepare_filter(c->filter, depth + 1, left) : ERR_NONE;
}

static enum err prepare_slice(const struct slice *s, struct budget *left)
{
	if (s->total > 0 && s->index < s->total)
		return ERR_NONE;
	return fault_set(left->reterr_fault, ERR_BAD_INPUT,
			 "slice: index must be below total, and total at least 1; got index %u, total %u", s->index,
			 s->total);
}

static enum err prepare_condition(struct condition *c, unsigned depth, struct budget *left)
{
	if (c->kind >= CONDITION_COUNT)
		return fault_set(left->reterr_fault, ERR_BAD_INPUT,
				 "the filter has a condition of unknown kind");
	switch ((unsigned)kinds[c->kind].argument) {
	case ARGUMENT_TEXTS:
		return prepare_set(c->texts.items, c->texts.count, sizeof(*c->texts.items),
				   text_order, left);
	case ARGUMENT_INTS:
		return prepare_set(c->ints.items, c->ints.count, sizeof(*c->ints.items), int_order,
				   left);
	case ARGUMENT_IDS:
		return prepare_set(c->ids.items, c->ids.count, sizeof(*c->ids.items), id_order,
				   left);
	case ARGUMENT_TEXT:
		return c->kind == CONDITION_MATCH_TEXT_VALUE || c->kind == CONDITION_MATCH_PREFIX ||
				       c->text.len <= FILTER_TEXT_BYTES_MAX ?
			       ERR_NONE :
			       fault_set(left->reterr_fault, ERR_BAD_INPUT,
					 "the text of a condition has more than %d bytes", FILTER_TEXT_BYTES_MAX);
	case ARGUMENT_POLYGON:
		return prepare_polygon(&c->polygon, left);
	case ARGUMENT_SLICE:
		return prepare_slice(&c->slice, left);
	case ARGUMENT_FILTER:
		return c->filter ? prepare_filter(c->filter, depth + 1, left) : ERR_NONE;
	case ARGUMENT_NESTED:
		return prepare_nested(c, depth, left);
	default: /* as it was read */
		return ERR_NONE;
	}
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
