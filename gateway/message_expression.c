/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kind of expressions: index/formula.h's tree from and to JSON and protobuf. Keys and numbers are those of
 * index/formula.def. In JSON a number is a constant, a string a variable, and an object without the key of an expression a
 * condition.
 */
#include "gateway/message_kinds.h"

#include <math.h>
#include <string.h>

#include "index/formula.h"

/* Columns of formula.def that index/ has no use for. */
static const struct {
	const char *json;
	uint32_t proto;
} columns[] = {
#define EXPRESSION(name, json_key, proto_number, operands)                                         \
	[EXPRESSION_##name] = { .json = (json_key), .proto = (proto_number) },
#include "index/formula.def"
#undef EXPRESSION
};

struct builder {
	struct message_reading *d;
	unsigned depth;
	uint32_t count;
};

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* False: too many, or too deep. Else the caller takes it back by b->depth--. formula_prepare() has the last word, but must
 * not be given a tree that could not be walked. */
static bool enter(struct builder *b)
{
	if (++b->count > FORMULA_EXPRESSIONS_MAX) {
		message_bad_input(b->d, "a formula has more than %u expressions",
				  FORMULA_EXPRESSIONS_MAX);
		return false;
	}
	if (b->depth == FORMULA_DEPTH_MAX) {
		message_bad_input(b->d, "a formula is nested more than %u deep", FORMULA_DEPTH_MAX);
		return false;
	}
	b->depth++;
	return true;
}

/* At the end of the operands, which may move. */
static struct expression *add_operand(struct builder *b, struct expression *e)
{
	e->operands = message_grow(b->d, e->operands, e->operand_count, sizeof(*e->operands));
	return e->operands ? &e->operands[e->operand_count++] : NULL;
}

/* A filter of nothing but one filter is that one: written conditions do not grow when they are read again. */
static const struct filter *bare(const struct filter *f)
{
	while (f && f->must.count == 1 && f->must.items[0].kind == CONDITION_FILTER &&
	       f->should.count == 0 && f->must_not.count == 0 && !f->has_min_should)
		f = f->must.items[0].filter;
	return f;
}

/* ---- from JSON ---- */

static void from_json(struct builder *b, struct json_reader *r, struct expression *e);

static void operand_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	struct expression operand = { 0 };

	from_json(b, r, &operand);
	struct expression *at = b->d->err ? NULL : add_operand(b, e);
	if (at)
		*at = operand;
}

static void list_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r))
		operand_from_json(b, r, e);
}

static float number_from_json(struct json_reader *r)
{
	float v = (float)json_f64(r);

	if (!isfinite(v))
		json_fail(r, "number out of range of f32");
	return v;
}

/* {first, second, by_zero_default}, in any order. */
static void two_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	const char *first = e->kind == EXPRESSION_DIV ? "left" : "base";
	const char *second = e->kind == EXPRESSION_DIV ? "right" : "exponent";
	bool has_first = false, has_second = false;
	struct str key;

	e->operands = message_array(b->d, 2, sizeof(*e->operands));
	if (!e->operands || !json_enter_object(r))
		return;
	e->operand_count = 2;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, first)) {
			from_json(b, r, &e->operands[0]);
			has_first = true;
		} else if (is_word(key, second)) {
			from_json(b, r, &e->operands[1]);
			has_second = true;
		} else if (e->kind == EXPRESSION_DIV && is_word(key, "by_zero_default") &&
			   json_peek(r) != JSON_NULL) {
			e->by_zero = number_from_json(r);
			e->has_by_zero = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_first || !has_second)
		message_json_fail(b->d, r, "missing field `%s`", has_first ? second : first);
}

static void decay_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	struct expression operands[2] = { 0 };
	bool has_x = false, has_target = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (json_peek(r) == JSON_NULL) {
			json_null(r);
		} else if (is_word(key, "x")) {
			from_json(b, r, &operands[0]);
			has_x = true;
		} else if (is_word(key, "target")) {
			from_json(b, r, &operands[1]);
			has_target = true;
		} else if (is_word(key, "scale")) {
			e->scale = number_from_json(r);
			e->has_scale = true;
		} else if (is_word(key, "midpoint")) {
			e->midpoint = number_from_json(r);
			e->has_midpoint = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_x)
		json_fail(r, "missing field `x`");
	e->operands = message_array(b->d, 2, sizeof(*e->operands));
	if (e->operands)
		memcpy(e->operands, operands, sizeof(operands));
	e->operand_count = has_target ? 2 : 1;
}

static void origin_from_json(struct json_reader *r, struct geo_point *out)
{
	bool has_lon = false, has_lat = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "lon")) {
			out->lon = json_f64(r);
			has_lon = true;
		} else if (is_word(key, "lat")) {
			out->lat = json_f64(r);
			has_lat = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_lon || !has_lat)
		json_fail(r, has_lon ? "missing field `lat`" : "missing field `lon`");
}

static void check_origin(struct builder *b, const struct expression *e)
{
	if (!geo_point_valid(e->origin))
		message_bad_input(
			b->d,
			"Wrong format of GeoPoint payload: expected `lat` within [-90;90] and `lon` within [-180;180]");
}

static void geo_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	bool has_origin = false, has_to = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "origin")) {
			origin_from_json(r, &e->origin);
			has_origin = true;
		} else if (is_word(key, "to")) {
			e->text = json_string(r);
			has_to = true;
		} else {
			json_skip(r);
		}
	}
	if (!has_origin || !has_to)
		json_fail(r, has_origin ? "missing field `to`" : "missing field `origin`");
	else if (!json_failed(r))
		check_origin(b, e);
}

/* A condition is read as the one of a filter. */
static void condition_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	struct str condition = json_raw(r);
	struct str text = arena_printf(b->d->arena, "{\"must\":%.*s}", STR_FMT(condition));
	struct json_reader inner;

	e->kind = EXPRESSION_CONDITION;
	if (json_failed(r))
		return;
	if (!text.data) {
		message_no_memory(b->d);
		return;
	}
	inner = json_reader_of(text, b->d->arena);
	kind_filter.from_json(b->d, &inner, &e->filter);
	if (json_failed(&inner))
		json_fail(r, inner.error);
	e->filter = bare(e->filter);
}

static enum expression_kind kind_by_key(struct str key)
{
	for (enum expression_kind k = (enum expression_kind)0; k < EXPRESSION_COUNT; k++)
		if (columns[k].json && is_word(key, columns[k].json))
			return k;
	return EXPRESSION_COUNT;
}

/* By the key of an object; EXPRESSION_COUNT: it has none. Looks, and reads nothing. */
static enum expression_kind classify(struct json_reader ahead)
{
	enum expression_kind kind = EXPRESSION_COUNT;
	struct str key;

	if (!json_enter_object(&ahead))
		return kind;
	while (kind == EXPRESSION_COUNT && json_next_key(&ahead, &key)) {
		kind = kind_by_key(key);
		json_skip(&ahead);
	}
	return kind;
}

static void argument_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	switch (expression_operands(e->kind)) {
	case OPERANDS_ONE:
		operand_from_json(b, r, e);
		return;
	case OPERANDS_TWO:
		two_from_json(b, r, e);
		return;
	case OPERANDS_LIST:
		list_from_json(b, r, e);
		return;
	case OPERANDS_DECAY:
		decay_from_json(b, r, e);
		return;
	case OPERANDS_NONE:
		break;
	}
	if (e->kind == EXPRESSION_GEO_DISTANCE)
		geo_from_json(b, r, e);
	else
		e->text = json_string(r); /* a date, or the key of one */
}

static void object_from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	struct str key;

	e->kind = classify(*r);
	if (e->kind == EXPRESSION_COUNT) {
		condition_from_json(b, r, e);
		return;
	}
	if (!json_enter_object(r))
		return;
	bool given = false;
	while (!b->d->err && json_next_key(r, &key)) {
		if (!given && kind_by_key(key) == e->kind) {
			argument_from_json(b, r, e);
			given = true;
		} else {
			json_skip(r);
		}
	}
}

static void from_json(struct builder *b, struct json_reader *r, struct expression *e)
{
	*e = (struct expression){ 0 };
	if (b->d->err || !enter(b))
		return;
	if (json_peek(r) == JSON_NUMBER) {
		e->kind = EXPRESSION_CONSTANT;
		e->constant = number_from_json(r);
	} else if (json_peek(r) == JSON_STRING) {
		e->kind = EXPRESSION_VARIABLE;
		e->text = json_string(r);
	} else if (json_peek(r) == JSON_OBJECT) {
		object_from_json(b, r, e);
	} else {
		/* Not as a condition: none, and a list of them, are filters. */
		json_fail(r, "expected a number, a variable, an expression or a condition");
	}
	b->depth--;
}

static void expression_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct expression *e = message_array(d, 1, sizeof(*e));
	struct builder b = { .d = d };

	if (!e)
		return;
	*(struct expression **)member = e;
	from_json(&b, r, e);
}

/* ---- to JSON ---- */

static void put_text(struct json_writer *w, const char *text)
{
	json_put_key(w, (struct str){ .data = text, .len = strlen(text) });
}

static void to_json(const struct expression *e, struct json_writer *w);

static void put_number(struct json_writer *w, bool has, const char *key, float v)
{
	if (!has)
		return;
	put_text(w, key);
	json_put_f32(w, v);
}

static void put_two(const struct expression *e, struct json_writer *w)
{
	json_put_object(w);
	put_text(w, e->kind == EXPRESSION_DIV ? "left" : "base");
	to_json(&e->operands[0], w);
	put_text(w, e->kind == EXPRESSION_DIV ? "right" : "exponent");
	to_json(&e->operands[1], w);
	put_number(w, e->has_by_zero, "by_zero_default", e->by_zero);
	json_put_object_end(w);
}

static void put_decay(const struct expression *e, struct json_writer *w)
{
	json_put_object(w);
	put_text(w, "x");
	to_json(&e->operands[0], w);
	if (e->operand_count > 1) {
		put_text(w, "target");
		to_json(&e->operands[1], w);
	}
	put_number(w, e->has_scale, "scale", e->scale);
	put_number(w, e->has_midpoint, "midpoint", e->midpoint);
	json_put_object_end(w);
}

static void put_geo(const struct expression *e, struct json_writer *w)
{
	json_put_object(w);
	put_text(w, "origin");
	json_put_object(w);
	put_text(w, "lon");
	json_put_f64(w, e->origin.lon);
	put_text(w, "lat");
	json_put_f64(w, e->origin.lat);
	json_put_object_end(w);
	put_text(w, "to");
	json_put_string(w, e->text);
	json_put_object_end(w);
}

static void put_argument(const struct expression *e, struct json_writer *w)
{
	switch (expression_operands(e->kind)) {
	case OPERANDS_ONE:
		to_json(&e->operands[0], w);
		return;
	case OPERANDS_TWO:
		put_two(e, w);
		return;
	case OPERANDS_LIST:
		json_put_array(w);
		for (uint32_t i = 0; i < e->operand_count; i++)
			to_json(&e->operands[i], w);
		json_put_array_end(w);
		return;
	case OPERANDS_DECAY:
		put_decay(e, w);
		return;
	case OPERANDS_NONE:
		break;
	}
	if (e->kind == EXPRESSION_GEO_DISTANCE)
		put_geo(e, w);
	else
		json_put_string(w, e->text);
}

static void to_json(const struct expression *e, struct json_writer *w)
{
	if (e->kind == EXPRESSION_CONSTANT) {
		json_put_f32(w, e->constant);
	} else if (e->kind == EXPRESSION_VARIABLE) {
		json_put_string(w, e->text);
	} else if (e->kind == EXPRESSION_CONDITION) {
		kind_filter.to_json(&e->filter, w);
	} else {
		json_put_object(w);
		put_text(w, columns[e->kind].json);
		put_argument(e, w);
		json_put_object_end(w);
	}
}

static void expression_to_json(const void *member, struct json_writer *w)
{
	to_json(*(struct expression *const *)member, w);
}

/* ---- from protobuf ---- */

static void from_proto(struct builder *b, struct bytes bytes, struct expression *e);

static void failed(struct builder *b, const struct proto_reader *r)
{
	if (r->err)
		message_bad_proto(b->d);
}

static float number_from_proto(struct builder *b, struct proto_reader *r, enum proto_type t)
{
	float v = proto_float(r, t);

	if (!isfinite(v))
		message_bad_input(b->d, "a number of a formula is not finite");
	return v;
}

static void operand_from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	struct expression operand = { 0 };

	from_proto(b, bytes, &operand);
	struct expression *at = b->d->err ? NULL : add_operand(b, e);
	if (at)
		*at = operand;
}

/* MultExpression{mult=1}, SumExpression{sum=1} */
static void list_from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			operand_from_proto(b, proto_bytes(&r, t), e);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
}

/* DivExpression{left=1, right=2, by_zero_default=3}, PowExpression{base=1, exponent=2},
 * DecayParamsExpression{x=1, target=2, scale=3, midpoint=4} */
static void fields_from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	struct proto_reader r = proto_reader_of(bytes);
	bool decay = expression_operands(e->kind) == OPERANDS_DECAY;
	bool has[2] = { false };
	enum proto_type t;
	uint32_t field;

	e->operands = message_array(b->d, 2, sizeof(*e->operands));
	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1 || field == 2) {
			from_proto(b, proto_bytes(&r, t), &e->operands[field - 1]);
			has[field - 1] = true;
		} else if (field == 3 && decay) {
			e->scale = number_from_proto(b, &r, t);
			e->has_scale = true;
		} else if (field == 3 && e->kind == EXPRESSION_DIV) {
			e->by_zero = number_from_proto(b, &r, t);
			e->has_by_zero = true;
		} else if (field == 4 && decay) {
			e->midpoint = number_from_proto(b, &r, t);
			e->has_midpoint = true;
		} else {
			proto_skip(&r, t);
		}
	}
	failed(b, &r);
	if (!has[0] || (!has[1] && !decay))
		message_bad_input(b->d, "an expression lacks an operand");
	e->operand_count = has[1] ? 2 : 1;
}

/* GeoDistance{origin=1: GeoPoint{lon=1, lat=2}, to=2} */
static void geo_from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct proto_reader origin = { 0 };
	enum proto_type t;
	uint32_t field;

	e->text = STR("");
	while (!b->d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			origin = proto_reader_of(proto_bytes(&r, t));
		else if (field == 2)
			e->text = proto_string(&r, t);
		else
			proto_skip(&r, t);
	}
	failed(b, &r);
	while (!b->d->err && proto_next(&origin, &field, &t)) {
		if (field == 1)
			e->origin.lon = proto_double(&origin, t);
		else if (field == 2)
			e->origin.lat = proto_double(&origin, t);
		else
			proto_skip(&origin, t);
	}
	failed(b, &origin);
	if (!b->d->err)
		check_origin(b, e);
}

/* A Condition is read as the one of a Filter{must=2}. */
static void condition_from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	CLEANUP(buf_release) struct buf filter = BUF_INIT(SIZE_MAX);
	size_t mark = proto_begin(&filter, 1);
	enum proto_type t;
	uint32_t field;

	proto_put_bytes(&filter, 2, bytes.data, bytes.len);
	proto_end(&filter, mark);
	uint8_t *copy = buf_err(&filter) ? NULL : message_array(b->d, filter.len, 1);
	if (!copy) {
		message_no_memory(b->d);
		return;
	}
	memcpy(copy, filter.data, filter.len);
	struct proto_reader r = proto_reader_of((struct bytes){ .data = copy, .len = filter.len });
	if (proto_next(&r, &field, &t))
		kind_filter.from_proto(b->d, &r, t, &e->filter);
	failed(b, &r);
	e->filter = bare(e->filter);
}

static enum expression_kind kind_by_number(uint32_t field)
{
	enum expression_kind k = (enum expression_kind)0;

	while (k < EXPRESSION_COUNT && columns[k].proto != field)
		k++;
	return k;
}

static void argument_from_proto(struct builder *b, struct proto_reader *r, enum proto_type t,
				struct expression *e)
{
	switch (expression_operands(e->kind)) {
	case OPERANDS_ONE:
		operand_from_proto(b, proto_bytes(r, t), e);
		return;
	case OPERANDS_LIST:
		list_from_proto(b, proto_bytes(r, t), e);
		return;
	case OPERANDS_TWO:
	case OPERANDS_DECAY:
		fields_from_proto(b, proto_bytes(r, t), e);
		return;
	case OPERANDS_NONE:
		break;
	}
	if (e->kind == EXPRESSION_CONSTANT)
		e->constant = number_from_proto(b, r, t);
	else if (e->kind == EXPRESSION_CONDITION)
		condition_from_proto(b, proto_bytes(r, t), e);
	else if (e->kind == EXPRESSION_GEO_DISTANCE)
		geo_from_proto(b, proto_bytes(r, t), e);
	else
		e->text = proto_string(r, t);
}

static void from_proto(struct builder *b, struct bytes bytes, struct expression *e)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;
	bool given = false;

	*e = (struct expression){ 0 };
	if (b->d->err || !enter(b))
		return;
	while (!b->d->err && proto_next(&r, &field, &t)) {
		enum expression_kind kind = kind_by_number(field);

		if (kind == EXPRESSION_COUNT) {
			proto_skip(&r, t);
			continue;
		}
		*e = (struct expression){ .kind = kind };
		argument_from_proto(b, &r, t, e);
		given = true;
	}
	failed(b, &r);
	if (!given)
		message_bad_input(b->d, "an expression of a formula is empty");
	b->depth--;
}

static void expression_from_proto(struct message_reading *d, struct proto_reader *r,
				  enum proto_type t, void *member)
{
	struct expression *e = message_array(d, 1, sizeof(*e));
	struct builder b = { .d = d };
	struct bytes bytes = proto_bytes(r, t);

	if (!e || r->err)
		return;
	*(struct expression **)member = e;
	from_proto(&b, bytes, e);
}

/* ---- to protobuf ---- */

static void to_proto(const struct expression *e, uint32_t field, struct buf *out);

static void put_fields(const struct expression *e, struct buf *out)
{
	for (uint32_t i = 0; i < e->operand_count; i++)
		to_proto(&e->operands[i], i + 1, out);
	if (e->has_by_zero)
		proto_put_float(out, 3, e->by_zero);
	if (e->has_scale)
		proto_put_float(out, 3, e->scale);
	if (e->has_midpoint)
		proto_put_float(out, 4, e->midpoint);
}

static void put_list(const struct expression *e, struct buf *out)
{
	for (uint32_t i = 0; i < e->operand_count; i++)
		to_proto(&e->operands[i], 1, out);
}

static void put_geo_fields(const struct expression *e, struct buf *out)
{
	size_t mark = proto_begin(out, 1);

	proto_put_double(out, 1, e->origin.lon);
	proto_put_double(out, 2, e->origin.lat);
	proto_end(out, mark);
	proto_put_bytes(out, 2, e->text.data, e->text.len);
}

/* The expression's own field, within the message Expression. */
static void put_own_field(const struct expression *e, struct buf *out)
{
	uint32_t field = columns[e->kind].proto;
	enum expression_operands operands = expression_operands(e->kind);

	if (e->kind == EXPRESSION_CONSTANT) {
		proto_put_float(out, field, e->constant);
		return;
	}
	if (e->kind == EXPRESSION_VARIABLE || e->kind == EXPRESSION_DATETIME ||
	    e->kind == EXPRESSION_DATETIME_KEY) {
		proto_put_bytes(out, field, e->text.data, e->text.len);
		return;
	}
	if (operands == OPERANDS_ONE) {
		to_proto(&e->operands[0], field, out);
		return;
	}
	size_t mark = proto_begin(out, field);
	if (e->kind == EXPRESSION_CONDITION)
		kind_filter.to_proto(&e->filter, 4, out); /* Condition{filter=4} */
	else if (e->kind == EXPRESSION_GEO_DISTANCE)
		put_geo_fields(e, out);
	else if (operands == OPERANDS_LIST)
		put_list(e, out);
	else
		put_fields(e, out);
	proto_end(out, mark);
}

static void to_proto(const struct expression *e, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	put_own_field(e, out);
	proto_end(out, mark);
}

static void expression_to_proto(const void *member, uint32_t field, struct buf *out)
{
	to_proto(*(struct expression *const *)member, field, out);
}

const struct message_custom kind_expression = {
	.size = sizeof(struct expression *),
	.from_json = expression_from_json,
	.from_proto = expression_from_proto,
	.to_json = expression_to_json,
	.to_proto = expression_to_proto,
};
