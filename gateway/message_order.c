/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of ordering by a value of the payload.
 *   order_by      in JSON a key, or an object
 *   start_from    a number or a time
 *   order_value   an integer or another number
 */
#include "gateway/message_kinds.h"

#include <math.h>
#include <string.h>

#include "index/datetime.h"

/* ---- order_by ---- */

static void order_by_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct msg_order_by *o = message_array(d, 1, sizeof(*o));

	if (!o)
		return;
	*(const struct msg_order_by **)member = o;
	if (json_peek(r) == JSON_STRING)
		o->key = json_string(r);
	else
		message_read_json(d, r, &message_order_by, o);
}

static void order_by_from_proto(struct message_reading *d, struct proto_reader *r,
				enum proto_type t, void *member)
{
	struct msg_order_by *o = message_array(d, 1, sizeof(*o));
	struct bytes inner = proto_bytes(r, t);

	if (!o || r->err)
		return;
	*(const struct msg_order_by **)member = o;
	message_read_proto(d, &message_order_by, inner, o);
}

static void order_by_to_json(const void *member, struct json_writer *w)
{
	message_to_json(&message_order_by, *(const struct msg_order_by *const *)member, w);
}

static void order_by_to_proto(const void *member, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	message_to_proto(&message_order_by, *(const struct msg_order_by *const *)member, out);
	proto_end(out, mark);
}

static void order_by_check(struct message_reading *d, const void *member)
{
	message_check(d, &message_order_by, *(const struct msg_order_by *const *)member);
}

const struct message_custom kind_order_by = {
	.size = sizeof(const struct msg_order_by *),
	.from_json = order_by_from_json,
	.from_proto = order_by_from_proto,
	.to_json = order_by_to_json,
	.to_proto = order_by_to_proto,
	.check = order_by_check,
};

/* ---- start_from ---- */

static void start_from_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct start_from *s = member;
	struct json_number n;

	(void)d; /* r has the error */
	if (json_peek(r) == JSON_STRING) {
		*s = (struct start_from){ .kind = START_DATETIME, .text = json_string(r) };
		return;
	}
	n = json_number(r);
	if (n.kind == JSON_INT)
		*s = (struct start_from){ .kind = START_INT, .integer = n.i };
	else
		*s = (struct start_from){ .kind = START_FLOAT,
					  .number = n.kind == JSON_UINT ? (double)n.u : n.d };
}

static void start_from_to_json(const void *member, struct json_writer *w)
{
	const struct start_from *s = member;
	char text[DATETIME_TEXT_MAX];

	switch (s->kind) {
	case START_INT:
		json_put_i64(w, s->integer);
		return;
	case START_FLOAT:
		json_put_f64(w, s->number);
		return;
	case START_DATETIME:
		json_put_string(w, s->text);
		return;
	case START_TIMESTAMP:
		(void)datetime_format(s->integer, text);
		json_put_cstr(w, text);
		return;
	}
}

#define US_PER_S INT64_C(1000000)
#define NS_PER_US 1000

/* Timestamp{seconds=1, nanos=2}, in microseconds. */
static int64_t timestamp_from_proto(struct message_reading *d, struct bytes b)
{
	struct proto_reader r = proto_reader_of(b);
	int64_t seconds = 0, nanos = 0, us = 0;
	enum proto_type t;
	uint32_t field;

	while (proto_next(&r, &field, &t)) {
		if (field == 1)
			seconds = proto_int64(&r, t);
		else if (field == 2)
			nanos = proto_int64(&r, t);
		else
			proto_skip(&r, t);
	}
	if (r.err)
		message_bad_proto(d);
	if (nanos < 0 || nanos >= US_PER_S * NS_PER_US ||
	    __builtin_mul_overflow(seconds, US_PER_S, &us) ||
	    __builtin_add_overflow(us, nanos / NS_PER_US, &us))
		message_bad_input(d, "a timestamp is out of range");
	return us;
}

/* StartFrom{float=1 | integer=2 | timestamp=3 | datetime=4} */
static void start_from_from_proto(struct message_reading *d, struct proto_reader *r,
				  enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct start_from s = { 0 };
	uint32_t field;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1)
			s = (struct start_from){ .kind = START_FLOAT,
						 .number = proto_double(&in, t) };
		else if (field == 2)
			s = (struct start_from){ .kind = START_INT,
						 .integer = proto_int64(&in, t) };
		else if (field == 3)
			s = (struct start_from){ .kind = START_TIMESTAMP,
						 .integer = timestamp_from_proto(
							 d, proto_bytes(&in, t)) };
		else if (field == 4)
			s = (struct start_from){ .kind = START_DATETIME,
						 .text = proto_string(&in, t) };
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
	if (s.kind == START_FLOAT && !isfinite(s.number))
		message_bad_input(d, "start_from is not a finite number");
	memcpy(member, &s, sizeof(s));
}

static void start_from_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct start_from *s = member;
	size_t mark = proto_begin(out, field);
	int64_t seconds = s->integer / US_PER_S - (s->integer % US_PER_S < 0);
	size_t inner;

	switch (s->kind) {
	case START_INT:
		proto_put_varint(out, 2, (uint64_t)s->integer);
		break;
	case START_FLOAT:
		proto_put_double(out, 1, s->number);
		break;
	case START_DATETIME:
		proto_put_bytes(out, 4, s->text.data, s->text.len);
		break;
	case START_TIMESTAMP:
		inner = proto_begin(out, 3);
		proto_put_varint(out, 1, (uint64_t)seconds);
		proto_put_varint(out, 2, (uint64_t)(s->integer - seconds * US_PER_S) * NS_PER_US);
		proto_end(out, inner);
		break;
	}
	proto_end(out, mark);
}

const struct message_custom kind_start_from = {
	.size = sizeof(struct start_from),
	.from_json = start_from_from_json,
	.from_proto = start_from_from_proto,
	.to_json = start_from_to_json,
	.to_proto = start_from_to_proto,
};

/* ---- order_value ---- */

static void order_value_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct json_number n = json_number(r);

	(void)d; /* r has the error */
	*(struct order_value *)member =
		n.kind == JSON_INT
			? (struct order_value){ .kind = ORDER_VALUE_INT, .integer = n.i }
			: (struct order_value){ .kind = ORDER_VALUE_FLOAT,
						.number = n.kind == JSON_UINT ? (double)n.u : n.d };
}

static void order_value_to_json(const void *member, struct json_writer *w)
{
	const struct order_value *v = member;

	if (v->kind == ORDER_VALUE_INT)
		json_put_i64(w, v->integer);
	else
		json_put_f64(w, v->number);
}

/* OrderValue{int=1 | float=2} */
static void order_value_from_proto(struct message_reading *d, struct proto_reader *r,
				   enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct order_value v = { .kind = ORDER_VALUE_INT };
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 1)
			v = (struct order_value){ .kind = ORDER_VALUE_INT,
						  .integer = proto_int64(&in, t) };
		else if (field == 2)
			v = (struct order_value){ .kind = ORDER_VALUE_FLOAT,
						  .number = proto_double(&in, t) };
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
	memcpy(member, &v, sizeof(v));
}

static void order_value_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct order_value *v = member;
	size_t mark = proto_begin(out, field);

	if (v->kind == ORDER_VALUE_INT)
		proto_put_varint(out, 1, (uint64_t)v->integer);
	else
		proto_put_double(out, 2, v->number);
	proto_end(out, mark);
}

const struct message_custom kind_order_value = {
	.size = sizeof(struct order_value),
	.from_json = order_value_from_json,
	.from_proto = order_value_from_proto,
	.to_json = order_value_to_json,
	.to_proto = order_value_to_proto,
};
