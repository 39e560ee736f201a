/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from and to protobuf.
 */
#include "gateway/message_filter.h"

#include <math.h>

/* Of a Timestamp: 0001-01-01 and 9999-12-31. */
#define SECONDS_MIN (-62135596800)
#define SECONDS_MAX 253402300799

/* ---- arguments from protobuf ---- */

static void filter_from_message(struct filter_builder *b, struct bytes bytes, struct filter *f);

static void failed(struct filter_builder *b, const struct proto_reader *r)
{
	if (r->err)
		message_bad_proto(b->d);
}

/* RepeatedStrings{strings=1} */
static void text_set_from_proto(struct filter_builder *b, struct bytes bytes, struct text_set *set)
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
static void int_set_from_proto(struct filter_builder *b, struct bytes bytes, struct int_set *set)
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

static void text_from_proto(UNUSED struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			    struct condition *c)
{
	c->text = proto_string(r, t);
}

static void int_from_proto(UNUSED struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			   struct condition *c)
{
	c->integer = proto_int64(r, t);
}

static void bool_from_proto(UNUSED struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			    struct condition *c)
{
	c->boolean = proto_varint(r, t) != 0;
}

static void texts_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	text_set_from_proto(b, proto_bytes(r, t), &c->texts);
}

static void ints_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	int_set_from_proto(b, proto_bytes(r, t), &c->ints);
}

/* Range, DatetimeRange, ValuesCount {lt=1, gt=2, gte=3, lte=4} */
static void bounds_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c,
			      void (*value)(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
					    void *out))
{
	struct proto_reader r = proto_reader_of(bytes);
	char *bounds = (char *)&c->range;
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field < 1 || field > MESSAGE_FILTER_BOUNDS) {
			proto_skip(&r, t);
			continue;
		}
		value(b, &r, t, bounds + message_filter_bounds[field - 1].value);
		*(bool *)(bounds + message_filter_bounds[field - 1].has) = true;
	}
	failed(b, &r);
}

static void read_f64(struct filter_builder *b, struct proto_reader *r, enum proto_type t, void *out)
{
	double n = proto_double(r, t);

	if (isnan(n))
		message_bad_input(b->d, "a bound of a range is not a number");
	*(double *)out = n;
}

/* Timestamp{seconds=1, nanos=2}, of the years 1 to 9999 as protobuf has it. */
static void read_time(struct filter_builder *b, struct proto_reader *r, enum proto_type t, void *out)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	int64_t seconds = 0, nanos = 0;
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 1)
			seconds = proto_int64(&in, t);
		else if (field == 2)
			nanos = proto_int64(&in, t);
		else
			proto_skip(&in, t);
	}
	failed(b, &in);
	if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0 || nanos > 999999999) {
		message_bad_input(b->d, "a bound of a range is no time: years 1 to 9999 and 0 to 999999999 nanos are expected");
		return;
	}
	*(int64_t *)out = seconds * 1000000 + nanos / 1000;
}

static void read_count(UNUSED struct filter_builder *b, struct proto_reader *r, enum proto_type t, void *out)
{
	*(uint64_t *)out = proto_varint(r, t);
}

static void numbers_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			       struct condition *c)
{
	bounds_from_proto(b, proto_bytes(r, t), c, read_f64);
}

static void times_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	bounds_from_proto(b, proto_bytes(r, t), c, read_time);
}

static void counts_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			      struct condition *c)
{
	bounds_from_proto(b, proto_bytes(r, t), c, read_count);
}

/* GeoPoint{lon=1, lat=2} */
static struct geo_point point_from_proto(struct filter_builder *b, struct bytes bytes)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct geo_point p = { 0 };
	enum proto_type t;
	uint32_t field;

	while (proto_next(&r, &field, &t)) {
		if (field == 1)
			p.lon = proto_double(&r, t);
		else if (field == 2)
			p.lat = proto_double(&r, t);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
	const char *words = message_filter_point_words(p);
	if (words)
		message_bad_input(b->d, "%s", words);
	return p;
}

/* GeoBoundingBox{top_left=1, bottom_right=2} */
static void box_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	bool given[2] = { false, false };
	uint32_t field;

	while (!b->d->err && proto_next(&in, &field, &t)) {
		if (field < 1 || field > 2) {
			proto_skip(&in, t);
			continue;
		}
		*(field == 1 ? &c->box.top_left : &c->box.bottom_right) = point_from_proto(b, proto_bytes(&in, t));
		given[field - 1] = true;
	}
	failed(b, &in);
	if (!given[0] || !given[1])
		message_bad_input(b->d, "Malformed GeoBoundingBox condition");
}

/* GeoRadius{center=1, radius=2} */
static void circle_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			      struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	bool given = false;
	uint32_t field;

	while (!b->d->err && proto_next(&in, &field, &t)) {
		if (field == 1) {
			c->circle.center = point_from_proto(b, proto_bytes(&in, t));
			given = true;
		} else if (field == 2) {
			c->circle.radius_m = (double)proto_float(&in, t);
		} else {
			proto_skip(&in, t);
		}
	}
	failed(b, &in);
	if (!given || isnan(c->circle.radius_m))
		message_bad_input(b->d, "Malformed GeoRadius condition");
}

/* GeoLineString{points=1} */
static void ring_from_proto(struct filter_builder *b, struct bytes bytes, struct geo_ring *ring)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			message_filter_add_point(b, ring, point_from_proto(b, proto_bytes(&r, t)));
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
}

/* GeoPolygon{exterior=1, interiors=2}; filter_prepare() looks whether the rings are closed */
static void polygon_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			       struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	uint32_t field;

	while (!b->d->err && proto_next(&in, &field, &t)) {
		if (field == 1) {
			ring_from_proto(b, proto_bytes(&in, t), &c->polygon.exterior);
		} else if (field == 2) {
			struct geo_ring *hole = message_filter_add_hole(b, &c->polygon);
			if (hole)
				ring_from_proto(b, proto_bytes(&in, t), hole);
		} else {
			proto_skip(&in, t);
		}
	}
	failed(b, &in);
}

/* The one field of IsEmptyCondition, IsNullCondition {key=1}, HasVectorCondition{has_vector=1} */
static struct str only_text(struct filter_builder *b, struct bytes bytes)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct str text = { .data = "" };
	enum proto_type t;
	uint32_t field;

	while (proto_next(&r, &field, &t)) {
		if (field == 1)
			text = proto_string(&r, t);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
	return text;
}

static void key_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	struct str text = only_text(b, proto_bytes(r, t));

	if (!b->d->err)
		message_filter_set_key(b, c, text);
}

static void name_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	c->vector_name = only_text(b, proto_bytes(r, t));
}

/* HasIdCondition{has_id=1: PointId[]} */
static void ids_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	uint32_t field;

	while (!b->d->err && proto_next(&in, &field, &t)) {
		if (field == 1)
			message_filter_add_id(b, &c->ids, message_point_id_from_proto(b->d, proto_bytes(&in, t)));
		else
			proto_skip(&in, t);
	}
	failed(b, &in);
}

static void inner_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			     struct condition *c)
{
	struct bytes bytes = proto_bytes(r, t);
	struct filter *f = message_filter_inner(b);

	if (!f)
		return;
	c->filter = f;
	filter_from_message(b, bytes, f);
	b->depth--;
}

/* NestedCondition{key=1, filter=2} */
static void nested_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
			      struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct str key = { .data = "" };
	uint32_t field;

	while (!b->d->err && proto_next(&in, &field, &t)) {
		if (field == 1)
			key = proto_string(&in, t);
		else if (field == 2)
			inner_from_proto(b, &in, t, c);
		else
			proto_skip(&in, t);
	}
	failed(b, &in);
	if (!b->d->err)
		message_filter_set_key(b, c, key);
	if (!b->d->err && !c->filter)
		message_bad_input(b->d, "a nested condition has no filter");
}

/* SliceCondition{total=1, index=2} */
static void slice_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 1)
			c->slice.total = (uint32_t)proto_varint(&in, t);
		else if (field == 2)
			c->slice.index = (uint32_t)proto_varint(&in, t);
		else
			proto_skip(&in, t);
	}
	failed(b, &in);
}

/* Those of one value write their own field, the others the fields of its message. */
static const struct argument {
	void (*from)(struct filter_builder *b, struct proto_reader *r, enum proto_type t, struct condition *c);
	void (*scalar)(const struct condition *c, uint32_t field, struct buf *out);
	void (*fields)(const struct condition *c, struct buf *out);
} arguments[ARGUMENT_COUNT];

/* ---- conditions from protobuf ---- */

static void argument_from_proto(struct filter_builder *b, struct proto_reader *r, enum proto_type t,
				enum condition_kind kind, struct condition *c)
{
	*c = (struct condition){ .kind = kind };
	arguments[condition_argument_of(kind)].from(b, r, t, c);
}

static void match_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	c->kind = CONDITION_COUNT;
	while (!b->d->err && proto_next(&r, &field, &t)) {
		enum condition_kind kind = message_filter_by_tag(OBJECT_MATCH, field);
		if (kind == CONDITION_COUNT)
			proto_skip(&r, t);
		else
			argument_from_proto(b, &r, t, kind, c);
	}
	failed(b, &r);
	if (c->kind == CONDITION_COUNT)
		message_bad_input(b->d, "a match condition has no value");
}

/* FieldCondition{key=1, match=2, and those of filter.def} */
static void field_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct condition_list operators = { 0 };
	enum proto_type t;
	uint32_t field;
	struct str key = { .data = "" };

	while (!b->d->err && proto_next(&r, &field, &t)) {
		enum condition_kind kind = message_filter_by_tag(OBJECT_FIELD, field);
		if (field == 1)
			key = proto_string(&r, t);
		if (field != 2 && kind == CONDITION_COUNT) {
			if (field != 1)
				proto_skip(&r, t);
			continue;
		}
		struct condition *op = message_filter_add(b, &operators);
		if (!op)
			return;
		if (field == 2)
			match_from_proto(b, proto_bytes(&r, t), op);
		else
			argument_from_proto(b, &r, t, kind, op);
	}
	failed(b, &r);
	if (!b->d->err)
		message_filter_set_key(b, c, key);
	if (!b->d->err)
		message_filter_take_operators(b, c, &operators);
}

/* Condition{field=1, and those of filter.def} */
static void condition_from_proto(struct filter_builder *b, struct bytes bytes, struct condition *c)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;
	bool given = false;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		enum condition_kind kind = message_filter_by_tag(OBJECT_CONDITION, field);
		if (field != 1 && kind == CONDITION_COUNT) {
			proto_skip(&r, t);
			continue;
		}
		given = true;
		*c = (struct condition){ 0 };
		if (field == 1)
			field_from_proto(b, proto_bytes(&r, t), c);
		else
			argument_from_proto(b, &r, t, kind, c);
	}
	failed(b, &r);
	if (!given)
		message_bad_input(b->d, "a condition of a filter is empty");
}

/* ---- filters from protobuf ---- */

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
	struct filter *f = message_filter_inner(&b);

	if (r->err || !f)
		return;
	filter_from_message(&b, bytes, f);
	if (!d->err)
		message_filter_take(d, f, member);
}

/* ---- to protobuf ---- */

static void put_filter_fields(const struct filter *f, struct buf *out);

static void text_to_proto(const struct condition *c, uint32_t field, struct buf *out)
{
	proto_put_bytes(out, field, c->text.data, c->text.len);
}

static void int_to_proto(const struct condition *c, uint32_t field, struct buf *out)
{
	proto_put_varint(out, field, (uint64_t)c->integer);
}

static void bool_to_proto(const struct condition *c, uint32_t field, struct buf *out)
{
	proto_put_varint(out, field, c->boolean);
}

static void put_texts(const struct condition *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->texts.count; i++)
		proto_put_bytes(out, 1, c->texts.items[i].data, c->texts.items[i].len);
}

static void put_ints(const struct condition *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->ints.count; i++)
		proto_put_varint(out, 1, (uint64_t)c->ints.items[i]);
}

static void put_bounds(const struct condition *c, struct buf *out,
		       void (*value)(const void *in, uint32_t field, struct buf *out))
{
	const char *bounds = (const char *)&c->range;

	for (uint32_t i = 0; i < MESSAGE_FILTER_BOUNDS; i++)
		if (*(const bool *)(bounds + message_filter_bounds[i].has))
			value(bounds + message_filter_bounds[i].value, i + 1, out);
}

static void write_f64(const void *in, uint32_t field, struct buf *out)
{
	proto_put_double(out, field, *(const double *)in);
}

static void write_time(const void *in, uint32_t field, struct buf *out)
{
	int64_t us = *(const int64_t *)in;
	int64_t seconds = us / 1000000 - (us % 1000000 < 0);
	size_t mark = proto_begin(out, field);

	proto_put_varint(out, 1, (uint64_t)seconds);
	proto_put_varint(out, 2, (uint64_t)(us - seconds * 1000000) * 1000);
	proto_end(out, mark);
}

static void write_count(const void *in, uint32_t field, struct buf *out)
{
	proto_put_varint(out, field, *(const uint64_t *)in);
}

static void put_numbers(const struct condition *c, struct buf *out)
{
	put_bounds(c, out, write_f64);
}

static void put_times(const struct condition *c, struct buf *out)
{
	put_bounds(c, out, write_time);
}

static void put_counts(const struct condition *c, struct buf *out)
{
	put_bounds(c, out, write_count);
}

static void put_point(struct geo_point p, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	proto_put_double(out, 1, p.lon);
	proto_put_double(out, 2, p.lat);
	proto_end(out, mark);
}

static void put_box(const struct condition *c, struct buf *out)
{
	put_point(c->box.top_left, 1, out);
	put_point(c->box.bottom_right, 2, out);
}

static void put_circle(const struct condition *c, struct buf *out)
{
	put_point(c->circle.center, 1, out);
	proto_put_float(out, 2, (float)c->circle.radius_m);
}

static void put_ring(const struct geo_ring *ring, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	for (uint32_t i = 0; i < ring->count; i++)
		put_point(ring->points[i], 1, out);
	proto_end(out, mark);
}

static void put_polygon(const struct condition *c, struct buf *out)
{
	put_ring(&c->polygon.exterior, 1, out);
	for (uint32_t i = 0; i < c->polygon.interior_count; i++)
		put_ring(&c->polygon.interiors[i], 2, out);
}

static void put_key(const struct condition *c, struct buf *out)
{
	proto_put_bytes(out, 1, c->key.text.data, c->key.text.len);
}

static void put_name(const struct condition *c, struct buf *out)
{
	proto_put_bytes(out, 1, c->vector_name.data, c->vector_name.len);
}

static void put_ids(const struct condition *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->ids.count; i++)
		kind_point_id.to_proto(&c->ids.items[i], 1, out);
}

static void put_inner(const struct condition *c, struct buf *out)
{
	put_filter_fields(c->filter, out);
}

static void put_nested(const struct condition *c, struct buf *out)
{
	put_key(c, out);
	size_t mark = proto_begin(out, 2);
	put_filter_fields(c->filter, out);
	proto_end(out, mark);
}

static void put_slice(const struct condition *c, struct buf *out)
{
	proto_put_varint(out, 1, c->slice.total);
	proto_put_varint(out, 2, c->slice.index);
}

static const struct argument arguments[ARGUMENT_COUNT] = {
	[ARGUMENT_TEXT] = { text_from_proto, .scalar = text_to_proto },
	[ARGUMENT_INT] = { int_from_proto, .scalar = int_to_proto },
	[ARGUMENT_BOOL] = { bool_from_proto, .scalar = bool_to_proto },
	[ARGUMENT_TEXTS] = { texts_from_proto, .fields = put_texts },
	[ARGUMENT_INTS] = { ints_from_proto, .fields = put_ints },
	[ARGUMENT_NUMBERS] = { numbers_from_proto, .fields = put_numbers },
	[ARGUMENT_DATETIMES] = { times_from_proto, .fields = put_times },
	[ARGUMENT_BOX] = { box_from_proto, .fields = put_box },
	[ARGUMENT_CIRCLE] = { circle_from_proto, .fields = put_circle },
	[ARGUMENT_POLYGON] = { polygon_from_proto, .fields = put_polygon },
	[ARGUMENT_COUNTS] = { counts_from_proto, .fields = put_counts },
	[ARGUMENT_KEY] = { key_from_proto, .fields = put_key },
	[ARGUMENT_IDS] = { ids_from_proto, .fields = put_ids },
	[ARGUMENT_NAME] = { name_from_proto, .fields = put_name },
	[ARGUMENT_FILTER] = { inner_from_proto, .fields = put_inner },
	[ARGUMENT_NESTED] = { nested_from_proto, .fields = put_nested },
	[ARGUMENT_SLICE] = { slice_from_proto, .fields = put_slice },
};

/* The condition's own field, in whichever message has it. */
static void put_own_field(const struct condition *c, struct buf *out)
{
	const struct argument *argument = &arguments[condition_argument_of(c->kind)];
	uint32_t field = message_filter_tag(c->kind);

	if (argument->scalar) {
		argument->scalar(c, field, out);
		return;
	}
	size_t mark = proto_begin(out, field);
	argument->fields(c, out);
	proto_end(out, mark);
}

static void put_condition_message(const struct condition *c, uint32_t field, struct buf *out)
{
	enum condition_object object = condition_object_of(c->kind);
	size_t mark = proto_begin(out, field);

	if (object == OBJECT_CONDITION) {
		put_own_field(c, out);
		proto_end(out, mark);
		return;
	}
	size_t inner = proto_begin(out, 1);
	put_key(c, out);
	size_t match = object == OBJECT_MATCH ? proto_begin(out, 2) : 0;
	put_own_field(c, out);
	if (object == OBJECT_MATCH)
		proto_end(out, match);
	proto_end(out, inner);
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
