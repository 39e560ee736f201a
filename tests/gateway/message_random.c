/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random messages.
 */
#include "tests/gateway/message_random.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "index/formula.h"

uint64_t random_next(struct message_random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state;
}

uint32_t random_below(struct message_random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 11) % n);
}

static bool coin(struct message_random *r)
{
	return random_below(r, 2) == 1;
}

static void *make(struct message_random *r, size_t count, size_t size)
{
	void *p = arena_array(r->arena, count, size);
	ck_assert_ptr_nonnull(p);
	return p;
}

static struct str random_text(struct message_random *r)
{
	static const char *const pieces[] = { "a",  "Z9",  "-",  "\xc3\xa4", "\xe2\x82\xac",
					      "\"", "\\",  "\n", "\t",       " ",
					      "/",  "\x01" };
	uint32_t n = 1 + random_below(r, 6);
	char *text = make(r, n, 4);
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		const char *piece = pieces[random_below(r, LEN(pieces))];
		memcpy(text + len, piece, strlen(piece));
		len += strlen(piece);
	}
	return (struct str){ .data = text, .len = len };
}

/* prefix and number: texts made with rising numbers are sorted. */
static struct str numbered(struct message_random *r, char prefix, uint32_t number)
{
	struct str text = arena_printf(r->arena, "%c%03u", prefix, number);
	ck_assert_ptr_nonnull(text.data);
	return text;
}

static float random_float(struct message_random *r)
{
	float v = (float)((int32_t)random_next(r)) / (float)(1 + random_below(r, 1000));
	return coin(r) ? v : v * 1e-12f;
}

static float *random_floats(struct message_random *r, uint32_t n)
{
	float *v = make(r, n, sizeof(*v));
	for (uint32_t i = 0; i < n; i++)
		v[i] = random_float(r);
	return v;
}

static struct point_id random_id(struct message_random *r)
{
	if (coin(r))
		return (struct point_id){ .kind = POINT_ID_NUM, .lo = random_next(r) };
	return (struct point_id){ .kind = POINT_ID_UUID,
				  .hi = random_next(r),
				  .lo = random_next(r) };
}

static struct vector random_vector(struct message_random *r, bool sparse)
{
	uint32_t n = 1 + random_below(r, 5);
	struct vector v = { .kind = VECTOR_DENSE, .count = n, .values = random_floats(r, n) };

	if (!sparse && coin(r)) {
		v.kind = VECTOR_MULTI;
		v.rows = 1 + random_below(r, 3);
		v.count = n * v.rows;
		v.values = random_floats(r, v.count);
	}
	if (!sparse)
		return v;
	uint32_t *indices = make(r, n, sizeof(*indices));
	uint32_t at = random_below(r, 300);
	for (uint32_t i = 0; i < n; i++) {
		indices[i] = at;
		at += 1 + random_below(r, 1u << 20);
	}
	v.kind = VECTOR_SPARSE;
	v.indices = indices;
	return v;
}

static struct path random_path(struct message_random *r)
{
	static const char *const paths[] = { "a", "a.b", "a[].b", "a[3]", "\"quoted key\".b" };
	const char *text = paths[random_below(r, LEN(paths))];
	struct path p;

	ck_assert_int_eq(path_parse((struct str){ .data = text, .len = strlen(text) }, &p, NULL),
			 ERR_NONE);
	return p;
}

static struct value keep(struct message_random *r, const struct buf *b)
{
	ck_assert_int_eq(buf_err(b), ERR_NONE);
	uint8_t *copy = make(r, b->len, 1);
	memcpy(copy, b->data, b->len);
	return (struct value){ .data = copy, .len = (uint32_t)b->len };
}

static struct value random_value(struct message_random *r, unsigned depth);

static struct value random_object(struct message_random *r, unsigned depth)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	struct value_member members[3];
	uint32_t n = 1 + random_below(r, LEN(members));

	for (uint32_t i = 0; i < n; i++)
		members[i] = (struct value_member){ .key = numbered(r, 'k', i),
						    .value = random_value(r, depth) };
	ck_assert_int_eq(value_put_object(&b, members, n), ERR_NONE);
	return keep(r, &b);
}

static struct value random_value(struct message_random *r, unsigned depth)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	struct value items[3];
	uint32_t n = random_below(r, LEN(items));

	switch (random_below(r, depth > 3 ? 6 : 8)) {
	case 0:
		value_put_null(&b);
		break;
	case 1:
	case 2:
		value_put_bool(&b, coin(r));
		break;
	case 3:
		value_put_int(&b, (int64_t)random_next(r));
		break;
	case 4:
		value_put_double(&b, (double)(int64_t)random_next(r) / 1024.5);
		break;
	case 5:
		value_put_string(&b, random_text(r));
		break;
	case 6:
		for (uint32_t i = 0; i < n; i++)
			items[i] = random_value(r, depth + 1);
		ck_assert_int_eq(value_put_list(&b, items, n), ERR_NONE);
		break;
	default:
		return random_object(r, depth + 1);
	}
	return keep(r, &b);
}

/* ---- filters ---- */

static struct filter *random_filter(struct message_random *r, unsigned depth);

static struct range random_range(struct message_random *r)
{
	return (struct range){
		.has_lt = true,
		.lt = (double)random_float(r),
		.has_gte = coin(r),
		.gte = 0,
	};
}

static void random_sets(struct message_random *r, struct condition *c)
{
	uint32_t n = 1 + random_below(r, 4);

	if (c->kind == CONDITION_MATCH_ANY_TEXT || c->kind == CONDITION_MATCH_EXCEPT_TEXT) {
		c->texts = (struct text_set){ .items = make(r, n, sizeof(struct str)), .count = n };
		for (uint32_t i = 0; i < n; i++)
			c->texts.items[i] = numbered(r, 't', i);
	} else if (c->kind == CONDITION_HAS_ID) {
		c->ids =
			(struct id_set){ .items = make(r, n, sizeof(struct point_id)), .count = n };
		for (uint32_t i = 0; i < n; i++)
			c->ids.items[i] = (struct point_id){ .kind = POINT_ID_NUM, .lo = i * 1000 };
	} else {
		c->ints = (struct int_set){ .items = make(r, n, sizeof(int64_t)), .count = n };
		for (uint32_t i = 0; i < n; i++)
			c->ints.items[i] = (int64_t)i * 7 - 5;
	}
}

static struct geo_point random_point(struct message_random *r)
{
	return (struct geo_point){ .lon = (double)random_below(r, 361) - 180, .lat = (double)random_below(r, 181) - 90 };
}

static struct geo_ring random_ring(struct message_random *r)
{
	uint32_t n = 4 + random_below(r, 3);
	struct geo_ring ring = { .points = make(r, n, sizeof(struct geo_point)), .count = n };

	for (uint32_t i = 0; i < n; i++)
		ring.points[i] = random_point(r);
	ring.points[n - 1] = ring.points[0];
	return ring;
}

static struct geo_polygon random_polygon(struct message_random *r)
{
	struct geo_polygon g = { .exterior = random_ring(r), .interior_count = random_below(r, 3) };

	g.interiors = make(r, g.interior_count + 1, sizeof(*g.interiors));
	for (uint32_t i = 0; i < g.interior_count; i++)
		g.interiors[i] = random_ring(r);
	return g;
}

static void random_argument(struct message_random *r, unsigned depth, struct condition *c)
{
	switch (condition_argument_of(c->kind)) {
	case ARGUMENT_TEXT:
		c->text = random_text(r);
		break;
	case ARGUMENT_INT:
		c->integer = (int64_t)random_next(r);
		break;
	case ARGUMENT_BOOL:
		c->boolean = coin(r);
		break;
	case ARGUMENT_TEXTS:
	case ARGUMENT_INTS:
	case ARGUMENT_IDS:
		random_sets(r, c);
		break;
	case ARGUMENT_NUMBERS:
		c->range = random_range(r);
		break;
	case ARGUMENT_DATETIMES:
		c->times = (struct datetime_range){ .has_gt = true,
						    .gt = (int64_t)random_below(r, 1u << 30) * 1000001 - 300000000000000,
						    .has_lte = coin(r) };
		break;
	case ARGUMENT_COUNTS:
		c->counts = (struct count_range){ .has_gte = true, .gte = random_below(r, 9), .has_lt = coin(r) };
		break;
	case ARGUMENT_BOX:
		c->box = (struct geo_box){ random_point(r), random_point(r) };
		break;
	case ARGUMENT_CIRCLE:
		c->circle = (struct geo_circle){ random_point(r), random_below(r, 1000000) };
		break;
	case ARGUMENT_POLYGON:
		c->polygon = random_polygon(r);
		break;
	case ARGUMENT_NAME:
		c->vector_name = random_text(r);
		break;
	case ARGUMENT_FILTER:
	case ARGUMENT_NESTED:
		c->filter = random_filter(r, depth + 1);
		break;
	case ARGUMENT_SLICE:
		c->slice = (struct slice){ .total = 1 + random_below(r, 9), .index = 0 };
		break;
	case ARGUMENT_KEY:
	case ARGUMENT_COUNT:
		break;
	}
}

static struct condition random_condition(struct message_random *r, unsigned depth)
{
	struct condition c = { .kind = (enum condition_kind)random_below(r, CONDITION_COUNT),
			       .key = random_path(r) };

	if (depth >= 3 && (c.kind == CONDITION_FILTER || c.kind == CONDITION_NESTED))
		c.kind = CONDITION_IS_NULL;
	random_argument(r, depth, &c);
	return c;
}

static struct condition_list random_conditions(struct message_random *r, unsigned depth)
{
	uint32_t n = 1 + random_below(r, 2);
	struct condition_list list = { .items = make(r, n, sizeof(struct condition)), .count = n };

	for (uint32_t i = 0; i < n; i++)
		list.items[i] = random_condition(r, depth);
	return list;
}

static struct filter *random_filter(struct message_random *r, unsigned depth)
{
	struct filter *f = make(r, 1, sizeof(*f));

	f->must = random_conditions(r, depth);
	if (coin(r))
		f->should = random_conditions(r, depth);
	if (coin(r))
		f->must_not = random_conditions(r, depth);
	f->has_min_should = coin(r);
	if (f->has_min_should) {
		f->min_should = random_conditions(r, depth);
		f->min_count = 1;
	}
	return f;
}

/* ---- custom kinds ---- */

static struct vector_list random_vectors(struct message_random *r)
{
	uint32_t n = 1 + random_below(r, 3);
	struct vector_list list = { .items = make(r, n, sizeof(struct named_vector)), .count = n };

	for (uint32_t i = 0; i < n; i++)
		list.items[i] = (struct named_vector){ .name = numbered(r, 'v', i),
						       .vector = random_vector(r, coin(r)) };
	if (coin(r)) {
		list.count = 1;
		list.items[0] =
			(struct named_vector){ .name = STR(""), .vector = random_vector(r, false) };
	}
	return list;
}

static struct with_payload random_with_payload(struct message_random *r)
{
	struct with_payload w = { .kind = (enum with_payload_kind)random_below(r, 4) };

	if (w.kind != WITH_PAYLOAD_INCLUDE && w.kind != WITH_PAYLOAD_EXCLUDE)
		return w;
	w.count = 2;
	w.paths = make(r, w.count, sizeof(*w.paths));
	w.paths[0] = random_path(r);
	w.paths[1] = random_path(r);
	return w;
}

static struct with_vectors random_with_vectors(struct message_random *r)
{
	struct with_vectors w = { .kind = (enum with_vectors_kind)random_below(r, 3) };

	if (w.kind != WITH_VECTORS_NAMED)
		return w;
	w.count = 1;
	w.names = make(r, w.count, sizeof(*w.names));
	w.names[0] = random_text(r);
	return w;
}

static struct search_vector random_search_vector(struct message_random *r)
{
	bool sparse = coin(r);
	struct search_vector v = { .vector = random_vector(r, sparse) };

	/* The older searches have no multivectors. */
	if (v.vector.kind == VECTOR_MULTI)
		v.vector = (struct vector){ .kind = VECTOR_DENSE, .count = 2, .values = random_floats(r, 2) };

	if (sparse || coin(r))
		v.name = random_text(r);
	return v;
}

static struct read_consistency random_consistency(struct message_random *r)
{
	struct read_consistency c = { .kind = (enum read_consistency_kind)random_below(r, 4) };

	c.factor = c.kind == READ_FACTOR ? 1 + random_below(r, 9) : 0;
	return c;
}

static struct message_map random_map(struct message_random *r, const struct message *m,
				     bool may_be_unnamed)
{
	uint32_t n = 1 + random_below(r, 3);
	struct message_map map = {
		.keys = make(r, n, sizeof(struct str)),
		.items = make(r, n, m->size),
		.count = n,
	};

	for (uint32_t i = 0; i < n; i++) {
		map.keys[i] = numbered(r, 'm', i);
		random_message(r, m, false, (char *)map.items + i * m->size);
	}
	if (may_be_unnamed && coin(r)) {
		map.keys[0] = STR("");
		map.count = 1;
	}
	return map;
}

static const struct msg_index_params *random_index_params(struct message_random *r)
{
	struct msg_index_params *p = make(r, 1, sizeof(*p));

	random_message(r, &message_index_params, false, p);
	return p;
}

static struct index_schema random_schema(struct message_random *r)
{
	if (coin(r))
		return (struct index_schema){ .type = (enum field_schema)(1 + random_below(r, 8)) };
	struct msg_index_params *p = make(r, 1, sizeof(*p));
	p->has_uuid = true;
	p->uuid.has_is_tenant = true;
	p->uuid.is_tenant = coin(r);
	return (struct index_schema){ .type = FIELD_UUID, .params = p };
}

#define PUT(type, value)                                                                           \
	do {                                                                                       \
		type _v = (value);                                                                 \
		ck_assert_uint_eq(sizeof(_v), k->size);                                            \
		memcpy(at, &_v, sizeof(_v));                                                       \
	} while (0)

static struct field_value random_facet_value(struct message_random *r)
{
	switch (random_below(r, 3)) {
	case 0:
		return (struct field_value){ .kind = FIELD_VALUE_TEXT, .text = random_text(r) };
	case 1:
		return (struct field_value){ .kind = FIELD_VALUE_INT, .integer = (int64_t)random_next(r) };
	default:
		return (struct field_value){ .kind = FIELD_VALUE_BOOL, .boolean = coin(r) };
	}
}

static const struct msg_stopwords_set *random_stopwords(struct message_random *r)
{
	struct msg_stopwords_set *set = make(r, 1, sizeof(*set));
	struct str_list *lists[] = { &set->languages, &set->custom };

	for (size_t i = 0; i < LEN(lists); i++) {
		lists[i]->count = 1 + random_below(r, 2);
		lists[i]->items = make(r, lists[i]->count, sizeof(struct str));
		for (uint32_t n = 0; n < lists[i]->count; n++)
			lists[i]->items[n] = random_text(r);
	}
	return set;
}

/* ---- queries ---- */

static struct vector_input random_input(struct message_random *r)
{
	if (coin(r))
		return (struct vector_input){ .kind = INPUT_POINT, .id = random_id(r) };
	return (struct vector_input){ .vector = random_vector(r, coin(r)) };
}

/* Ids first, as protobuf has them. */
static struct vector_input_list random_examples(struct message_random *r)
{
	struct vector_input_list list = { .count = 4 };

	list.items = make(r, list.count, sizeof(*list.items));
	for (uint32_t i = 0; i < list.count; i++)
		list.items[i] = i < 2 ? (struct vector_input){ .kind = INPUT_POINT, .id = random_id(r) }
				      : (struct vector_input){ .vector = random_vector(r, coin(r)) };
	return list;
}

static struct context_pair_list random_pairs(struct message_random *r)
{
	struct context_pair_list list = { .count = random_below(r, 3) };

	list.items = make(r, list.count, sizeof(*list.items));
	for (uint32_t i = 0; i < list.count; i++)
		list.items[i] = (struct msg_context_pair){ .positive = random_input(r),
							   .negative = random_input(r) };
	return list;
}

static struct start_from random_start(struct message_random *r)
{
	switch (random_below(r, 3)) {
	case 0:
		return (struct start_from){ .kind = START_INT, .integer = (int64_t)random_next(r) };
	case 1:
		return (struct start_from){ .kind = START_FLOAT, .number = (double)random_float(r) + 0.5 };
	default:
		return (struct start_from){ .kind = START_DATETIME, .text = random_text(r) };
	}
}

static struct order_value random_order_value(struct message_random *r)
{
	if (coin(r))
		return (struct order_value){ .kind = ORDER_VALUE_INT, .integer = (int64_t)random_next(r) };
	return (struct order_value){ .kind = ORDER_VALUE_FLOAT, .number = (double)random_float(r) };
}

static struct group_id random_group(struct message_random *r)
{
	switch (random_below(r, 3)) {
	case 0:
		return (struct group_id){ .kind = GROUP_UNSIGNED, .number = random_next(r) };
	case 1:
		return (struct group_id){ .kind = GROUP_INT, .number = random_next(r) | 1ull << 63 };
	default:
		return (struct group_id){ .kind = GROUP_STRING, .text = random_text(r) };
	}
}

/* A condition that is a filter of nothing but one filter is read as that one. */
static const struct filter *random_expression_filter(struct message_random *r)
{
	const struct filter *f = random_filter(r, 2);

	while (f->must.count == 1 && f->must.items[0].kind == CONDITION_FILTER && f->should.count == 0 &&
	       f->must_not.count == 0 && !f->has_min_should)
		f = f->must.items[0].filter;
	return f;
}

static void random_expression(struct message_random *r, unsigned depth, struct expression *e)
{
	e->kind = (enum expression_kind)random_below(r, depth > 2 ? EXPRESSION_MULT : EXPRESSION_COUNT);
	switch (expression_operands(e->kind)) {
	case OPERANDS_ONE:
		e->operand_count = 1;
		break;
	case OPERANDS_TWO:
		e->operand_count = 2;
		e->has_by_zero = e->kind == EXPRESSION_DIV && coin(r);
		e->by_zero = e->has_by_zero ? random_float(r) : 0;
		break;
	case OPERANDS_LIST:
		e->operand_count = random_below(r, 4);
		break;
	case OPERANDS_DECAY:
		e->operand_count = 1 + random_below(r, 2);
		e->has_scale = coin(r);
		e->scale = e->has_scale ? random_float(r) : 0;
		e->has_midpoint = coin(r);
		e->midpoint = e->has_midpoint ? random_float(r) : 0;
		break;
	case OPERANDS_NONE:
		e->constant = e->kind == EXPRESSION_CONSTANT ? random_float(r) : 0;
		if (e->kind == EXPRESSION_CONDITION)
			e->filter = random_expression_filter(r);
		else if (e->kind != EXPRESSION_CONSTANT)
			e->text = random_text(r);
		if (e->kind == EXPRESSION_GEO_DISTANCE)
			e->origin = (struct geo_point){ .lon = -12.5, .lat = random_below(r, 90) };
		break;
	}
	e->operands = make(r, e->operand_count, sizeof(*e->operands));
	for (uint32_t i = 0; i < e->operand_count; i++)
		random_expression(r, depth + 1, &e->operands[i]);
}

static const struct msg_order_by *random_order_by(struct message_random *r)
{
	struct msg_order_by *o = make(r, 1, sizeof(*o));

	random_message(r, &message_order_by, false, o);
	return o;
}

static void random_form(struct message_random *r, struct msg_query *q)
{
	switch (random_below(r, 10)) {
	case 0:
		q->has_nearest = true;
		q->nearest = random_input(r);
		q->has_mmr = coin(r);
		if (q->has_mmr)
			random_message(r, &message_mmr, false, &q->mmr);
		return;
	case 1:
		q->has_recommend = true;
		random_message(r, &message_recommend_input, false, &q->recommend);
		return;
	case 2:
		q->has_discover = true;
		random_message(r, &message_discover_input, false, &q->discover);
		return;
	case 3:
		q->has_context = true;
		q->context = random_pairs(r);
		return;
	case 4:
		q->has_order_by = true;
		q->order_by = random_order_by(r);
		return;
	case 5:
		q->has_fusion = true;
		q->fusion = coin(r) ? FUSION_BY_SCORE : FUSION_BY_RANK;
		return;
	case 6:
		q->has_rrf = true;
		random_message(r, &message_rrf, false, &q->rrf);
		return;
	case 7:
		q->has_sample = true;
		return;
	case 8:
		q->has_relevance_feedback = true;
		random_message(r, &message_feedback_input, false, &q->relevance_feedback);
		return;
	default:
		q->has_expression = true;
		q->expression = make(r, 1, sizeof(*q->expression));
		random_expression(r, 0, q->expression);
		q->has_defaults = coin(r);
		if (q->has_defaults)
			q->defaults = random_object(r, 0);
		return;
	}
}

static const struct msg_query *random_query(struct message_random *r)
{
	struct msg_query *q = make(r, 1, sizeof(*q));

	random_form(r, q);
	return q;
}

/* None is what was not given: zeroes, also between the members. */
static void random_prefetches(struct message_random *r, struct prefetch_list *list)
{
	uint32_t count = r->depth < 2 ? random_below(r, 3) : 0;

	memset(list, 0, sizeof(*list));
	if (count == 0)
		return;
	list->items = make(r, count, sizeof(*list->items));
	list->count = count;
	r->depth++;
	for (uint32_t i = 0; i < count; i++)
		random_message(r, &message_prefetch, false, &list->items[i]);
	r->depth--;
}

static const struct msg_lookup_with *random_lookup(struct message_random *r)
{
	struct msg_lookup_with *l = make(r, 1, sizeof(*l));

	random_message(r, &message_lookup_with, false, l);
	return l;
}

static struct float_list random_float_list(struct message_random *r)
{
	uint32_t n = 1 + random_below(r, 4);

	return (struct float_list){ .items = random_floats(r, n), .count = n };
}

static struct number_list random_numbers(struct message_random *r)
{
	struct number_list list = { .count = 1 + random_below(r, 4) };

	list.items = make(r, list.count, sizeof(*list.items));
	for (uint32_t i = 0; i < list.count; i++)
		list.items[i] = random_next(r) >> random_below(r, 64);
	return list;
}

/* False: it is none of theirs. */
static bool random_of_query(struct message_random *r, const struct message_custom *k, void *at)
{
	if (k == &kind_query)
		PUT(const struct msg_query *, random_query(r));
	else if (k == &kind_vector_input || k == &kind_vector_example || k == &kind_target_vector)
		PUT(struct vector_input, random_input(r));
	else if (k == &kind_examples)
		PUT(struct vector_input_list, random_examples(r));
	else if (k == &kind_context_pairs)
		PUT(struct context_pair_list, random_pairs(r));
	else if (k == &kind_prefetches)
		random_prefetches(r, at);
	else if (k == &kind_order_by)
		PUT(const struct msg_order_by *, random_order_by(r));
	else if (k == &kind_start_from)
		PUT(struct start_from, random_start(r));
	else if (k == &kind_order_value)
		PUT(struct order_value, random_order_value(r));
	else if (k == &kind_with_lookup)
		PUT(const struct msg_lookup_with *, random_lookup(r));
	else if (k == &kind_group_id)
		PUT(struct group_id, random_group(r));
	else if (k == &kind_floats)
		PUT(struct float_list, random_float_list(r));
	else if (k == &kind_numbers)
		PUT(struct number_list, random_numbers(r));
	else
		return false;
	return true;
}

static void random_custom(struct message_random *r, const struct message_custom *k, void *at)
{
	if (k == &kind_point_id)
		PUT(struct point_id, random_id(r));
	else if (k == &kind_next_page)
		PUT(struct next_page, ((struct next_page){ .has = true, .id = random_id(r) }));
	else if (k == &kind_payload)
		PUT(struct value, random_object(r, 0));
	else if (k == &kind_vectors)
		PUT(struct vector_list, random_vectors(r));
	else if (k == &kind_with_payload)
		PUT(struct with_payload, random_with_payload(r));
	else if (k == &kind_with_vectors)
		PUT(struct with_vectors, random_with_vectors(r));
	else if (k == &kind_read_consistency)
		PUT(struct read_consistency, random_consistency(r));
	else if (random_of_query(r, k, at))
		return;
	else if (k == &kind_search_vector || k == &kind_search_group_vector)
		PUT(struct search_vector, random_search_vector(r));
	else if (k == &kind_filter)
		PUT(const struct filter *, random_filter(r, 0));
	else if (k == &kind_vectors_config)
		PUT(struct message_map, random_map(r, &message_vector_params, true));
	else if (k == &kind_vectors_config_diff)
		PUT(struct message_map, random_map(r, &message_vector_params_diff, true));
	else if (k == &kind_quantization_diff)
		random_message(r, &message_quantization_diff, false, at);
	else if (k == &kind_max_threads)
		PUT(struct max_threads,
		    (coin(r) ? (struct max_threads){ .automatic = true }
			     : (struct max_threads){ .value = random_next(r) }));
	else if (k == &kind_optimizer_status)
		PUT(struct optimizer_status,
		    (coin(r) ? (struct optimizer_status){ .error = random_text(r) }
			     : (struct optimizer_status){ 0 }));
	else if (k == &kind_field_schema)
		PUT(struct index_schema, random_schema(r));
	else if (k == &kind_facet_value)
		*(struct field_value *)at = random_facet_value(r);
	else if (k == &kind_stopwords)
		*(const struct msg_stopwords_set **)at = random_stopwords(r);
	else if (k == &kind_stemmer)
		((struct stemmer *)at)->language = coin(r) ? STR("german") : STR("");
	else if (k == &kind_keyword_prefix)
		((struct keyword_prefix *)at)->enabled = 1;
	else if (k == &kind_index_params)
		PUT(const struct msg_index_params *, random_index_params(r));
	else
		ck_abort_msg("a custom kind without random values");
}

/* ---- rows ---- */

static uint64_t random_whole(struct message_random *r, const struct message_row *row, uint64_t max)
{
	uint64_t low = row->has_min ? (uint64_t)row->min : 0;
	uint64_t high = row->has_max ? (uint64_t)row->max : max;

	return coin(r) ? low : low + random_next(r) % (high - low);
}

static uint32_t random_word(struct message_random *r, const struct message_enum *e)
{
	const struct message_word *w;

	do
		w = &e->words[random_below(r, e->count)];
	while (w->later);
	return w->number;
}

static void random_single(struct message_random *r, const struct message_row *row, void *at)
{
	struct message_map map;
	struct str text;
	uint64_t whole;
	uint32_t narrow;
	double number;
	float f;
	bool truth;

	switch (row->kind) {
	case KIND_STRING:
		text = random_text(r);
		memcpy(at, &text, sizeof(text));
		return;
	case KIND_BOOL:
		truth = coin(r);
		memcpy(at, &truth, sizeof(truth));
		return;
	case KIND_U32:
		narrow = (uint32_t)random_whole(r, row, UINT32_MAX);
		memcpy(at, &narrow, sizeof(narrow));
		return;
	case KIND_U64:
		whole = random_whole(r, row, UINT64_MAX);
		memcpy(at, &whole, sizeof(whole));
		return;
	case KIND_F32:
		f = row->has_min ? (float)row->min : random_float(r);
		memcpy(at, &f, sizeof(f));
		return;
	case KIND_F64:
	case KIND_TIME:
		number = row->has_min ? row->min + 0.125 : (double)random_float(r);
		memcpy(at, &number, sizeof(number));
		return;
	case KIND_ENUM:
		narrow = random_word(r, row->words);
		memcpy(at, &narrow, sizeof(narrow));
		return;
	case KIND_MESSAGE:
		random_message(r, row->message, false, at);
		return;
	case KIND_MAP:
		map = random_map(r, row->message, false);
		memcpy(at, &map, sizeof(map));
		return;
	case KIND_CUSTOM:
		random_custom(r, row->custom, at);
		return;
	case KIND_LATER:
		break;
	}
	ck_abort();
}

static void random_row(struct message_random *r, const struct message_row *row, void *out)
{
	void *at = (char *)out + row->offset;

	message_set_has(row, out);
	if (!row->list) {
		random_single(r, row, at);
		return;
	}
	size_t size = message_kind_size(row);
	struct message_list list = { .count = 1 + random_below(r, 3) };
	list.items = make(r, list.count, size);
	for (uint32_t i = 0; i < list.count; i++)
		random_single(r, row, (char *)list.items + i * size);
	memcpy(at, &list, sizeof(list));
}

void random_message(struct message_random *r, const struct message *m, bool params, void *out)
{
	uint32_t fields = 0;

	message_set_defaults(m, out);
	for (uint32_t i = 0; i < m->row_count; i++)
		fields += m->rows[i].role == ROLE_FIELD;
	uint32_t only = m->shape == SHAPE_UNION ? random_below(r, fields) : UINT32_MAX;
	for (uint32_t i = 0, field = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		bool wanted = row->role == ROLE_FIELD || (row->role == ROLE_PARAM && params);
		if (!wanted ||
		    (row->role == ROLE_FIELD && m->shape == SHAPE_UNION && field++ != only))
			continue;
		if (m->shape == SHAPE_UNION || row->presence == PRESENCE_REQ || coin(r))
			random_row(r, row, out);
	}
}
