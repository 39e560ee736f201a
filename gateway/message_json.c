/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walkers over message.def that read and write JSON.
 */
#include "gateway/message_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/panic.h"

/* ---- reading ---- */

static bool is_key(const struct message_row *row, const char *key)
{
	return row->json && strcmp(row->json, key) == 0;
}

static struct str row_name(const struct message_row *row)
{
	bool nameless = !row->json || is_key(row, WHOLE) || is_key(row, FLAT);
	return nameless ? (struct str){ 0 }
			: (struct str){ .data = row->json, .len = strlen(row->json) };
}

static const struct message_row *whole_row(const struct message *m)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (is_key(&m->rows[i], WHOLE))
			return &m->rows[i];
	return NULL;
}

static uint32_t read_u32(struct message_reading *d, struct json_reader *r)
{
	uint64_t v = json_u64(r);
	if (v > UINT32_MAX)
		message_json_fail(d, r, "invalid value: integer `%" PRIu64 "`, expected u32", v);
	return (uint32_t)v;
}

static float read_f32(struct json_reader *r)
{
	float v = (float)json_f64(r);
	if (!isfinite(v))
		json_fail(r, "number out of range of f32");
	return v;
}

static void read_enum(struct message_reading *d, struct json_reader *r,
		      const struct message_enum *e, void *at)
{
	struct str text = json_string(r);
	if (json_failed(r))
		return;
	const struct message_word *word = message_word_find(e, text);
	if (!word) {
		message_json_fail(d, r, "unknown variant `%.*s`", (int)MIN(text.len, (size_t)64),
				  text.data);
		return;
	}
	if (word->later)
		message_later(d, word->later);
	memcpy(at, &word->number, sizeof(word->number));
}

static void read_map(struct message_reading *d, struct json_reader *r, const struct message *m,
		     void *at)
{
	struct message_map map = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!d->err && json_next_key(r, &key)) {
		map.keys = message_grow(d, map.keys, map.count, sizeof(*map.keys));
		map.items = message_grow(d, map.items, map.count, m->size);
		if (!map.keys || !map.items)
			return;
		map.keys[map.count] = key;
		message_enter(d, key, -1);
		message_read_json(d, r, m, (char *)map.items + map.count * m->size);
		message_leave(d);
		map.count++;
	}
	memcpy(at, &map, sizeof(map));
}

/* One value of the row's kind, not a list. */
static void read_value(struct message_reading *d, struct json_reader *r,
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

	switch (row->kind) {
	case KIND_STRING:
		v.text = json_string(r);
		break;
	case KIND_BOOL:
		v.truth = json_bool(r);
		break;
	case KIND_U32:
		v.narrow = read_u32(d, r);
		break;
	case KIND_U64:
		v.wide = json_u64(r);
		break;
	case KIND_F32:
		v.f32 = read_f32(r);
		break;
	case KIND_F64:
	case KIND_TIME:
		v.f64 = json_f64(r);
		break;
	case KIND_ENUM:
		read_enum(d, r, row->words, at);
		return;
	case KIND_MESSAGE:
		message_read_json(d, r, row->message, at);
		return;
	case KIND_MAP:
		read_map(d, r, row->message, at);
		return;
	case KIND_CUSTOM:
		row->custom->from_json(d, r, at);
		return;
	case KIND_LATER:
		PANIC("a row without a member");
	}
	memcpy(at, &v, message_kind_size(row));
}

static void read_list(struct message_reading *d, struct json_reader *r,
		      const struct message_row *row, void *at)
{
	size_t size = message_kind_size(row);
	struct message_list list = { 0 };

	if (!json_enter_array(r))
		return;
	message_enter(d, (struct str){ 0 }, 0);
	while (!d->err && json_next_element(r)) {
		list.items = message_grow(d, list.items, list.count, size);
		if (!list.items)
			return;
		if (d->depth <= MESSAGE_PATH_MAX)
			d->index[d->depth - 1] = list.count;
		read_value(d, r, row, (char *)list.items + list.count * size);
		list.count++;
	}
	message_leave(d);
	memcpy(at, &list, sizeof(list));
}

/* Nothing is asked for by null, false and []; whatever else is. */
static void read_later(struct message_reading *d, struct json_reader *r,
		       const struct message_row *row)
{
	struct str text = json_raw(r);
	bool nothing = text.len == 4 && memcmp(text.data, "null", 4) == 0;
	nothing |= text.len == 5 && memcmp(text.data, "false", 5) == 0;
	nothing |= text.len >= 2 && text.data[0] == '[' && text.data[text.len - 1] == ']' &&
		   strspn(text.data + 1, " \t\r\n") + 2 >= text.len;
	if (!nothing && !json_failed(r))
		message_later(d, row->later);
}

/* Null stands for an absent field, but where the field must be there. */
static bool pass_null(struct json_reader *r, const struct message_row *row)
{
	bool takes =
		row->kind == KIND_LATER || (row->kind == KIND_CUSTOM && row->custom->takes_null);
	if (takes || row->presence == PRESENCE_REQ || json_peek(r) != JSON_NULL)
		return false;
	json_null(r);
	return true;
}

static bool read_row(struct message_reading *d, struct json_reader *r,
		     const struct message_row *row, void *out)
{
	if (pass_null(r, row))
		return false;
	message_enter(d, row_name(row), -1);
	if (row->kind == KIND_LATER)
		read_later(d, r, row);
	else if (row->list)
		read_list(d, r, row, (char *)out + row->offset);
	else
		read_value(d, r, row, (char *)out + row->offset);
	message_leave(d);
	if (row->kind != KIND_LATER)
		message_set_has(row, out);
	return true;
}

static const struct message_row *find_row(const struct message *m, struct str key)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		if (row->role != ROLE_PARAM && row->json && strlen(row->json) == key.len &&
		    key.len > 0 && memcmp(row->json, key.data, key.len) == 0 && !is_key(row, FLAT))
			return row;
	}
	return NULL;
}

/* A key that is none of m's own may be one of a flat member. */
static void read_flat(struct message_reading *d, struct json_reader *r, const struct message *m,
		      struct str key, void *out)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		if (!is_key(&m->rows[i], FLAT))
			continue;
		const struct message_row *row = find_row(m->rows[i].message, key);
		if (row) {
			(void)read_row(d, r, row, (char *)out + m->rows[i].offset);
			return;
		}
	}
	json_skip(r);
}

/* A member may have several keys (ALIAS): one of them is enough. */
static void check_required(struct message_reading *d, struct json_reader *r,
			   const struct message *m, uint64_t seen)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		bool there = row->role != ROLE_FIELD || row->presence != PRESENCE_REQ || !row->json;
		for (uint32_t j = 0; j < m->row_count && !there; j++)
			there = (seen >> j & 1) && m->rows[j].offset == row->offset;
		if (!there) {
			message_json_fail(d, r, "missing field `%s`", row->json);
			return;
		}
	}
}

void message_read_json(struct message_reading *d, struct json_reader *r, const struct message *m,
		       void *out)
{
	const struct message_row *whole = whole_row(m);
	uint64_t seen = 0;
	struct str key;

	message_set_defaults(m, out);
	if (whole) {
		(void)read_row(d, r, whole, out);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (!d->err && json_next_key(r, &key)) {
		const struct message_row *row = find_row(m, key);
		uint64_t bit = row ? 1ULL << (row - m->rows) : 0;
		/* Which of the two is meant is not for us to guess. */
		if (seen & bit)
			message_json_fail(d, r, "duplicate field `%s`", row->json);
		else if (!row)
			read_flat(d, r, m, key, out);
		else if (read_row(d, r, row, out))
			seen |= bit;
	}
	if (d->err || json_failed(r))
		return;
	check_required(d, r, m, seen);
	if (m->shape == SHAPE_UNION)
		message_check_union(d, m, out);
}

/* ---- writing ---- */

static void put_value(const struct message_row *row, const void *at, struct json_writer *w);

static void put_object(const struct message *m, const void *in, struct json_writer *w)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		const void *at = (const char *)in + row->offset;
		if ((row->role != ROLE_FIELD && row->role != ROLE_VIEW) || !row->json ||
		    !message_present(row, in))
			continue;
		if (is_key(row, FLAT)) {
			put_object(row->message, at, w);
			continue;
		}
		json_put_key(w, row_name(row));
		put_value(row, at, w);
	}
}

static void put_list(const struct message_row *row, const void *at, struct json_writer *w)
{
	size_t size = message_kind_size(row);
	struct message_row item = *row;
	struct message_list list;

	item.list = false;
	memcpy(&list, at, sizeof(list));
	json_put_array(w);
	for (uint32_t i = 0; i < list.count; i++)
		put_value(&item, (const char *)list.items + i * size, w);
	json_put_array_end(w);
}

static void put_map(const struct message *m, const void *at, struct json_writer *w)
{
	struct message_map map;

	memcpy(&map, at, sizeof(map));
	json_put_object(w);
	for (uint32_t i = 0; i < map.count; i++) {
		json_put_key(w, map.keys[i]);
		message_to_json(m, (const char *)map.items + i * m->size, w);
	}
	json_put_object_end(w);
}

static void put_enum(const struct message_enum *e, uint32_t number, struct json_writer *w)
{
	const struct message_word *word = message_word_of(e, number);
	if (word)
		json_put_cstr(w, word->word);
	else
		json_put_null(w);
}

static void put_value(const struct message_row *row, const void *at, struct json_writer *w)
{
	union {
		struct str text;
		bool truth;
		uint32_t narrow;
		uint64_t wide;
		float f32;
		double f64;
	} v = { 0 };

	if (row->list) {
		put_list(row, at, w);
		return;
	}
	if (row->kind != KIND_MESSAGE && row->kind != KIND_MAP && row->kind != KIND_CUSTOM)
		memcpy(&v, at, message_kind_size(row));
	switch (row->kind) {
	case KIND_STRING:
		json_put_string(w, v.text);
		return;
	case KIND_BOOL:
		json_put_bool(w, v.truth);
		return;
	case KIND_U32:
		json_put_u64(w, v.narrow);
		return;
	case KIND_U64:
		json_put_u64(w, v.wide);
		return;
	case KIND_F32:
		json_put_f32(w, v.f32);
		return;
	case KIND_F64:
	case KIND_TIME:
		json_put_f64(w, v.f64);
		return;
	case KIND_ENUM:
		put_enum(row->words, v.narrow, w);
		return;
	case KIND_MESSAGE:
		message_to_json(row->message, at, w);
		return;
	case KIND_MAP:
		put_map(row->message, at, w);
		return;
	case KIND_CUSTOM:
		row->custom->to_json(at, w);
		return;
	case KIND_LATER:
		break;
	}
	PANIC("a row without a member");
}

void message_to_json(const struct message *m, const void *in, struct json_writer *w)
{
	const struct message_row *whole = whole_row(m);

	if (whole) {
		put_value(whole, (const char *)in + whole->offset, w);
		return;
	}
	json_put_object(w);
	put_object(m, in, w);
	json_put_object_end(w);
}
