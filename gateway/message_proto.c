/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walkers over message.def that read and write protobuf.
 */
#include "gateway/message_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/panic.h"

/* ---- reading ---- */

static const struct message_row *find_row(const struct message *m, uint32_t field)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (m->rows[i].proto == field)
			return &m->rows[i];
	return NULL;
}

/* How often the field occurs, this one included: lists are made in one piece. */
static uint32_t count_left(struct proto_reader r, enum proto_type t, uint32_t field)
{
	uint32_t number, n = 1;

	proto_skip(&r, t);
	while (proto_next(&r, &number, &t)) {
		n += number == field;
		proto_skip(&r, t);
	}
	return n;
}

/* Number 0 without a word of its own is protobuf's "not given". */
static bool read_enum(struct message_reading *d, const struct message_row *row, uint64_t number,
		      void *at)
{
	const struct message_word *word =
		number <= UINT32_MAX ? message_word_of(row->words, (uint32_t)number) : NULL;
	if (!word && number == 0 && row->presence != PRESENCE_REQ)
		return false;
	if (!word) {
		message_bad_input(d, "%s: unknown value %" PRIu64, row->member, number);
		return false;
	}
	if (word->later)
		message_later(d, word->later);
	memcpy(at, &word->number, sizeof(word->number));
	return true;
}

static uint32_t read_u32(struct message_reading *d, const struct message_row *row, uint64_t v)
{
	if (v > UINT32_MAX)
		message_bad_input(d, "%s: %" PRIu64 " is more than 32 bits hold", row->member, v);
	return (uint32_t)v;
}

/* Ranges are checked later, but NaN passes every comparison. */
static double check_finite(struct message_reading *d, const struct message_row *row, double v)
{
	if (!isfinite(v))
		message_bad_input(d, "%s is not a finite number", row->member);
	return v;
}

/* One value of the row's kind. False: as good as not given. */
static bool read_value(struct message_reading *d, struct proto_reader *r, enum proto_type t,
		       const struct message_row *row, void *at)
{
	union {
		struct str text;
		bool truth;
		uint32_t narrow;
		uint64_t wide;
		float f32;
		double f64;
	} v = { 0 };
	struct bytes inner;

	switch (row->kind) {
	case KIND_STRING:
		v.text = proto_string(r, t);
		break;
	case KIND_BOOL:
		v.truth = proto_varint(r, t) != 0;
		break;
	case KIND_U32:
		v.narrow = read_u32(d, row, proto_varint(r, t));
		break;
	case KIND_U64:
		v.wide = proto_varint(r, t);
		break;
	case KIND_F32:
		v.f32 = proto_float(r, t);
		(void)check_finite(d, row, (double)v.f32);
		break;
	case KIND_F64:
	case KIND_TIME:
		v.f64 = check_finite(d, row, proto_double(r, t));
		break;
	case KIND_ENUM:
		v.wide = proto_varint(r, t);
		return r->err ? false : read_enum(d, row, v.wide, at);
	case KIND_MESSAGE:
		inner = proto_bytes(r, t);
		memset(at, 0, row->message->size); /* of two occurrences the last one counts */
		if (!r->err)
			message_read_proto(d, row->message, inner, at);
		return true;
	case KIND_CUSTOM:
		row->custom->from_proto(d, r, t, at);
		return true;
	case KIND_MAP:
	case KIND_LATER:
		PANIC("not a single value");
	}
	memcpy(at, &v, message_kind_size(row));
	return true;
}

static void read_item(struct message_reading *d, struct proto_reader *r, enum proto_type t,
		      const struct message_row *row, bool first, void *at)
{
	size_t size = message_kind_size(row);
	struct message_list list = { 0 };

	if (first)
		list.items = message_array(d, count_left(*r, t, row->proto), size);
	else
		memcpy(&list, at, sizeof(list));
	if (!list.items)
		return;
	if (d->depth > 0 && d->depth <= MESSAGE_PATH_MAX)
		d->index[d->depth - 1] = list.count;
	(void)read_value(d, r, t, row, (char *)list.items + list.count * size);
	list.count++;
	memcpy(at, &list, sizeof(list));
}

static void read_entry(struct message_reading *d, struct proto_reader *r, enum proto_type t,
		       const struct message_row *row, bool first, void *at)
{
	struct message_map map = { 0 };
	struct bytes value = { 0 };
	struct str key = { .data = "" };
	uint32_t field;

	if (first) {
		uint32_t n = count_left(*r, t, row->proto);
		map.keys = message_array(d, n, sizeof(*map.keys));
		map.items = message_array(d, n, row->message->size);
	} else {
		memcpy(&map, at, sizeof(map));
	}
	if (!map.keys || !map.items)
		return;
	struct proto_reader entry = proto_reader_of(proto_bytes(r, t));
	while (proto_next(&entry, &field, &t)) {
		if (field == 1)
			key = proto_string(&entry, t);
		else if (field == 2)
			value = proto_bytes(&entry, t);
		else
			proto_skip(&entry, t);
	}
	if (entry.err)
		message_bad_proto(d);
	map.keys[map.count] = key;
	message_enter(d, key, -1);
	message_read_proto(d, row->message, value,
			   (char *)map.items + map.count * row->message->size);
	message_leave(d);
	map.count++;
	memcpy(at, &map, sizeof(map));
}

/* Reads one occurrence. False: nothing is to be noted as given. */
static bool read_row(struct message_reading *d, struct proto_reader *r, enum proto_type t,
		     const struct message_row *row, struct bytes parent, bool seen, void *out)
{
	void *at = (char *)out + row->offset;

	if (row->kind == KIND_LATER) {
		proto_skip(r, t);
		message_later(d, row->later);
		return false;
	}
	if (row->kind == KIND_MAP || row->list) {
		if (row->kind == KIND_MAP)
			read_entry(d, r, t, row, !seen, at);
		else
			read_item(d, r, t, row, !seen, at);
		return true;
	}
	if (row->kind == KIND_CUSTOM && !row->custom->from_proto) {
		proto_skip(r, t);
		if (!seen && row->custom->from_parent && !r->err)
			row->custom->from_parent(d, parent, row->proto, at);
		return row->custom->from_parent != NULL;
	}
	return read_value(d, r, t, row, at);
}

/* Scalars have no presence in proto3 and are zero when absent; messages have. An enum without a 0
 * needs to be there. */
static void check_required(struct message_reading *d, const struct message *m, uint64_t seen,
			   void *out)
{
	for (uint32_t i = 0; i < m->row_count && !d->err; i++) {
		const struct message_row *row = &m->rows[i];
		bool declares = row->role == ROLE_FIELD || row->role == ROLE_PARAM;
		if ((seen >> i & 1) || !declares || row->presence != PRESENCE_REQ ||
		    row->proto == 0 || row->list)
			continue;
		void *at = (char *)out + row->offset;
		if (row->kind == KIND_CUSTOM && row->custom->absent)
			row->custom->absent(d, at);
		else if (row->kind == KIND_MESSAGE || row->kind == KIND_CUSTOM)
			message_bad_input(d, "%s is missing", row->member);
		else if (row->kind == KIND_ENUM)
			(void)read_enum(d, row, 0, at);
	}
}

void message_read_proto(struct message_reading *d, const struct message *m, struct bytes b,
			void *out)
{
	struct proto_reader r = proto_reader_of(b);
	enum proto_type t;
	uint32_t field;
	uint64_t seen = 0;

	message_set_defaults(m, out);
	while (!d->err && proto_next(&r, &field, &t)) {
		const struct message_row *row = find_row(m, field);
		if (!row) {
			proto_skip(&r, t);
			continue;
		}
		uint64_t bit = 1ULL << (row - m->rows);
		const char *name = row->member ? row->member : row->json ? row->json : m->name;
		message_enter(d, (struct str){ .data = name, .len = strlen(name) }, -1);
		bool given = read_row(d, &r, t, row, b, seen & bit, out);
		if (r.err && !d->err)
			message_bad_proto(d);
		message_leave(d);
		if (given) {
			seen |= bit;
			message_set_has(row, out);
		}
	}
	if (r.err && !d->err) {
		message_enter(d, (struct str){ .data = m->name, .len = strlen(m->name) }, -1);
		message_bad_proto(d);
		message_leave(d);
	}
	if (!d->err)
		check_required(d, m, seen, out);
	if (!d->err && m->shape == SHAPE_UNION)
		message_check_union(d, m, out);
}

/* ---- writing ---- */

static void put_message(uint32_t field, const struct message *m, const void *in, struct buf *out)
{
	size_t mark = proto_begin(out, field);
	message_to_proto(m, in, out);
	proto_end(out, mark);
}

static void put_map(const struct message_row *row, const void *at, struct buf *out)
{
	struct message_map map;

	memcpy(&map, at, sizeof(map));
	for (uint32_t i = 0; i < map.count; i++) {
		size_t mark = proto_begin(out, row->proto);
		proto_put_bytes(out, 1, map.keys[i].data, map.keys[i].len);
		put_message(2, row->message, (const char *)map.items + i * row->message->size, out);
		proto_end(out, mark);
	}
}

/* bare: zeroes are written too, for presence or because they are items of a list. */
static void put_value(const struct message_row *row, const void *at, bool bare, struct buf *out)
{
	union {
		struct str text;
		bool truth;
		uint32_t narrow;
		uint64_t wide;
		float f32;
		double f64;
	} v = { 0 };

	if (row->kind != KIND_MESSAGE && row->kind != KIND_MAP && row->kind != KIND_CUSTOM)
		memcpy(&v, at, message_kind_size(row));
	switch (row->kind) {
	case KIND_STRING:
		if (bare || v.text.len > 0)
			proto_put_bytes(out, row->proto, v.text.data, v.text.len);
		return;
	case KIND_BOOL:
		if (bare || v.truth)
			proto_put_varint(out, row->proto, v.truth);
		return;
	case KIND_U32:
	case KIND_ENUM:
		if (bare || v.narrow > 0)
			proto_put_varint(out, row->proto, v.narrow);
		return;
	case KIND_U64:
		if (bare || v.wide > 0)
			proto_put_varint(out, row->proto, v.wide);
		return;
	case KIND_F32:
		if (bare || v.narrow > 0) /* its bits: -0 is not 0 */
			proto_put_float(out, row->proto, v.f32);
		return;
	case KIND_F64:
	case KIND_TIME:
		if (bare || v.wide > 0)
			proto_put_double(out, row->proto, v.f64);
		return;
	case KIND_MESSAGE:
		put_message(row->proto, row->message, at, out);
		return;
	case KIND_MAP:
		put_map(row, at, out);
		return;
	case KIND_CUSTOM:
		row->custom->to_proto(at, row->proto, out);
		return;
	case KIND_LATER:
		break;
	}
	PANIC("a row without a member");
}

static void put_list(const struct message_row *row, const void *at, struct buf *out)
{
	size_t size = message_kind_size(row);
	struct message_list list;

	memcpy(&list, at, sizeof(list));
	for (uint32_t i = 0; i < list.count; i++)
		put_value(row, (const char *)list.items + i * size, true, out);
}

void message_to_proto(const struct message *m, const void *in, struct buf *out)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		const void *at = (const char *)in + row->offset;
		if (row->role == ROLE_ALIAS || row->role == ROLE_LATER || row->proto == 0 ||
		    !message_present(row, in))
			continue;
		if (row->list)
			put_list(row, at, out);
		else
			put_value(row, at, row->presence != PRESENCE_REQ, out);
	}
}

/* --- one field ----------------------------------------------------------------------------- */

static const struct message_row *row_of(const struct message *m, const char *member)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (strcmp(m->rows[i].member, member) == 0)
			return &m->rows[i];
	return NULL;
}

bool message_peek_bytes(const struct message *m, struct bytes b, const char *member, struct bytes *ret_bytes)
{
	const struct message_row *row = row_of(m, member);
	struct proto_reader r = proto_reader_of(b);
	struct bytes found = { 0 };
	enum proto_type type;
	uint32_t field;

	ASSERT(row);
	while (proto_next(&r, &field, &type)) {
		if (field == row->proto)
			found = proto_bytes(&r, type);
		else
			proto_skip(&r, type);
	}
	if (!found.data || r.err)
		return false;
	*ret_bytes = found;
	return true;
}

bool message_peek(const struct message *m, struct bytes b, const char *member, uint64_t *ret_value)
{
	const struct message_row *row = row_of(m, member);
	struct proto_reader r = proto_reader_of(b);
	bool found = false;
	enum proto_type type;
	uint32_t field;
	uint64_t value;

	ASSERT(row);
	while (proto_next(&r, &field, &type)) {
		if (field != row->proto) {
			proto_skip(&r, type);
			continue;
		}
		value = proto_varint(&r, type);
		found = true;
	}
	if (!found || r.err)
		return false;
	*ret_value = value;
	return true;
}
