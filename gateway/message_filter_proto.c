/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from and to protobuf.
 */
#include "gateway/message_filter.h"

#include <math.h>

#include "base/panic.h"

/* ---- from protobuf ---- */

static void filter_from_message(struct filter_builder *b, struct bytes bytes, struct filter *f);

static void failed(struct filter_builder *b, const struct proto_reader *r)
{
	if (r->err)
		message_bad_proto(b->d);
}

/* RepeatedStrings{strings=1} */
static void texts_from_proto(struct filter_builder *b, struct bytes bytes, struct text_set *set)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1) {
			struct str text = proto_string(&r, t);
			if (!r.err)
				message_filter_add_text(b, set, text);
		} else {
			proto_skip(&r, t);
		}
	}
	failed(b, &r);
}

/* RepeatedIntegers{integers=1}, packed or not */
static void ints_from_proto(struct filter_builder *b, struct bytes bytes, struct int_set *set)
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
				message_filter_add_int(
					b, set, (int64_t)proto_varint(&packed, PROTO_VARINT));
			failed(b, &packed);
		} else {
			message_filter_add_int(b, set, (int64_t)proto_varint(&r, t));
		}
	}
	failed(b, &r);
}

static enum condition_kind match_kind_of(uint32_t field)
{
	for (enum condition_kind k = (enum condition_kind)0; k < CONDITION_COUNT; k++)
		if (message_filter_is_match(k) && message_filter_tag(k) == field)
			return k;
	return CONDITION_COUNT;
}

static void match_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	c->kind = CONDITION_COUNT;
	while (!b->d->err && proto_next(&r, &field, &t)) {
		const char *later = message_filter_later_field(FILTER_MATCH, field);
		if (later)
			message_later(b->d, later);
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
static void range_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
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
static void field_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct condition_list operators = { 0 };
	enum proto_type t;
	uint32_t field;
	struct str key = { .data = "" };

	while (!b->d->err && proto_next(&r, &field, &t)) {
		const char *later = message_filter_later_field(FILTER_FIELD, field);
		bool empty = field == message_filter_tag(CONDITION_FIELD_IS_EMPTY);
		bool null = field == message_filter_tag(CONDITION_FIELD_IS_NULL);
		if (later)
			message_later(b->d, later);
		if (field == 1)
			key = proto_string(&r, t);
		if (field != 2 && field != 3 && !empty && !null) {
			if (field != 1)
				proto_skip(&r, t);
			continue;
		}
		struct condition *op = message_filter_add(b, &operators);
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
		message_filter_set_key(b, c, key);
	if (!b->d->err)
		message_filter_take_operators(b, c, &operators);
}

/* IsEmptyCondition, IsNullCondition {key=1}, HasVectorCondition{has_vector=1},
 * HasIdCondition{has_id=1: PointId[]} */
static void single_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct str text = { .data = "" };
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field != 1)
			proto_skip(&r, t);
		else if (c->kind == CONDITION_HAS_ID)
			message_filter_add_id(
				b, &c->ids, message_point_id_from_proto(b->d, proto_bytes(&r, t)));
		else
			text = proto_string(&r, t);
	}
	failed(b, &r);
	if (c->kind == CONDITION_HAS_VECTOR)
		c->vector_name = text;
	else if (c->kind != CONDITION_HAS_ID && !b->d->err)
		message_filter_set_key(b, c, text);
}

static void condition_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;
	bool given = false;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		const char *later = message_filter_later_field(FILTER_CONDITION, field);
		if (later)
			message_later(b->d, later);
		enum condition_kind kind = (enum condition_kind)0;
		while (kind < CONDITION_COUNT &&
		       (message_filter_is_field(kind) || message_filter_tag(kind) != field))
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
			if (!f || !message_filter_deeper(b))
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

static void add_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			   struct condition_list *list)
{
	struct bytes bytes = proto_bytes(r, t);
	struct condition c = { 0 };

	if (r->err)
		return;
	condition_from_proto(b, bytes, &c);
	struct condition *at = b->d->err ? NULL : message_filter_add(b, list);
	if (at)
		*at = c;
}

/* MinShould{conditions=1, min_count=2} */
static void min_should_from_proto(struct filter_builder *b, struct bytes bytes, struct filter *f)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			add_from_proto(b, &r, t, &f->min_should);
		else if (field == 2)
			message_filter_set_min_count(f, proto_varint(&r, t));
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
	f->has_min_should = true;
}

/* Filter{should=1, must=2, must_not=3, min_should=4} */
static void filter_from_message(struct filter_builder *b, struct bytes bytes, struct filter *f)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct condition_list *clauses[] = { &f->should, &f->must, &f->must_not };
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field <= LEN(clauses))
			add_from_proto(b, &r, t, clauses[field - 1]);
		else if (field == 4)
			min_should_from_proto(b, proto_bytes(&r, t), f);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
}

void message_filter_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member)
{
	struct filter_builder b = { .d = d };
	struct bytes bytes = proto_bytes(r, t);
	struct filter *f = message_array(d, 1, sizeof(*f));

	if (r->err || !f || !message_filter_deeper(&b))
		return;
	filter_from_message(&b, bytes, f);
	if (!d->err)
		message_filter_take(d, f, member);
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
	uint32_t field = message_filter_tag(c->kind);
	bool scalar = c->kind == CONDITION_MATCH_TEXT_VALUE ||
		      c->kind == CONDITION_MATCH_INT_VALUE ||
		      c->kind == CONDITION_MATCH_BOOL_VALUE ||
		      c->kind == CONDITION_FIELD_IS_EMPTY || c->kind == CONDITION_FIELD_IS_NULL;
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

	if (message_filter_is_field(c->kind)) {
		size_t inner = proto_begin(out, 1);
		proto_put_bytes(out, 1, c->key.text.data, c->key.text.len);
		if (message_filter_is_match(c->kind)) {
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

void message_filter_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct filter *f = *(const struct filter *const *)member;
	size_t mark = proto_begin(out, field);

	put_filter_fields(f, out);
	proto_end(out, mark);
}
