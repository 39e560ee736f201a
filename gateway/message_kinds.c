/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of points and searches: ids, payloads, selectors, reading consistency. Those
 * made of vectors are in message_vectors.c.
 */
#include "gateway/message_kinds.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/panic.h"

#define PAYLOAD_BYTES_MAX (64u << 20)

/* ---- point_id: a number or a UUID string; PointId{num=1|uuid=2} ---- */

static bool id_from_digits(struct str text, uint64_t *ret_number)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret_number = v;
	return text.len > 0;
}

struct point_id message_point_id_from_json(struct message_reading *d, struct json_reader *r)
{
	struct point_id id = { 0 };
	struct str text;

	if (json_peek(r) == JSON_STRING) {
		text = json_string(r);
		if (json_failed(r) || point_id_parse_uuid(text, &id) == ERR_NONE)
			return id;
	} else {
		text = json_raw(r);
		if (json_failed(r) || id_from_digits(text, &id.lo))
			return id;
	}
	message_json_fail(
		d, r,
		"value %.*s is not a valid point ID, valid values are either an unsigned integer or a UUID",
		(int)MIN(text.len, (size_t)64), text.data);
	return id;
}

void message_point_id_to_json(struct point_id id, struct json_writer *w)
{
	char text[POINT_ID_TEXT_MAX];

	if (id.kind == POINT_ID_NUM) {
		json_put_u64(w, id.lo);
		return;
	}
	size_t len = point_id_format(id, text);
	json_put_string(w, (struct str){ .data = text, .len = len });
}

struct point_id message_point_id_from_proto(struct message_reading *d, struct bytes b)
{
	struct proto_reader r = proto_reader_of(b);
	struct point_id id = { 0 };
	bool given = false;
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field == 1) {
			id = (struct point_id){ .kind = POINT_ID_NUM, .lo = proto_varint(&r, t) };
			given = true;
		} else if (field == 2) {
			struct str text = proto_string(&r, t);
			if (!r.err && point_id_parse_uuid(text, &id) != ERR_NONE)
				message_bad_input(d, "Unable to parse UUID: %.*s",
						  (int)MIN(text.len, (size_t)64), text.data);
			given = true;
		} else {
			proto_skip(&r, t);
		}
	}
	if (r.err)
		message_bad_proto(d);
	else if (!given)
		message_bad_input(d, "a point id is neither a number nor a UUID");
	return id;
}

static void point_id_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	*(struct point_id *)member = message_point_id_from_json(d, r);
}

static void point_id_from_proto(struct message_reading *d, struct proto_reader *r,
				enum proto_type t, void *member)
{
	struct bytes b = proto_bytes(r, t);
	if (!r->err)
		*(struct point_id *)member = message_point_id_from_proto(d, b);
}

static bool point_id_from_text(struct message_reading *d, struct str text, void *member)
{
	struct point_id id = { 0 };

	if (!id_from_digits(text, &id.lo) && point_id_parse_uuid(text, &id) != ERR_NONE)
		message_bad_input(d, "Can not recognize \"%.*s\" as point id",
				  (int)MIN(text.len, (size_t)64), text.data);
	*(struct point_id *)member = id;
	return true;
}

static void point_id_to_json(const void *member, struct json_writer *w)
{
	message_point_id_to_json(*(const struct point_id *)member, w);
}

static void point_id_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct point_id *id = member;
	char text[POINT_ID_TEXT_MAX];

	size_t mark = proto_begin(out, field);
	if (id->kind == POINT_ID_NUM) {
		proto_put_varint(out, 1, id->lo);
	} else {
		size_t len = point_id_format(*id, text);
		proto_put_bytes(out, 2, text, len);
	}
	proto_end(out, mark);
}

const struct message_custom kind_point_id = {
	.size = sizeof(struct point_id),
	.from_json = point_id_from_json,
	.from_proto = point_id_from_proto,
	.from_text = point_id_from_text,
	.text_form = "a point id",
	.to_json = point_id_to_json,
	.to_proto = point_id_to_proto,
};

/* ---- next_page: a point id, or null ---- */

static void next_page_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct next_page *page = member;

	page->has = json_peek(r) != JSON_NULL;
	if (page->has)
		page->id = message_point_id_from_json(d, r);
	else
		json_null(r);
}

static void next_page_from_proto(struct message_reading *d, struct proto_reader *r,
				 enum proto_type t, void *member)
{
	struct next_page *page = member;

	page->has = true;
	point_id_from_proto(d, r, t, &page->id);
}

static void next_page_absent(struct message_reading *d, void *member)
{
	(void)d; /* zeroed, it says that there is none */
	((struct next_page *)member)->has = false;
}

static void next_page_to_json(const void *member, struct json_writer *w)
{
	const struct next_page *page = member;

	if (page->has)
		message_point_id_to_json(page->id, w);
	else
		json_put_null(w);
}

static void next_page_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct next_page *page = member;

	if (page->has)
		point_id_to_proto(&page->id, field, out);
}

const struct message_custom kind_next_page = {
	.size = sizeof(struct next_page),
	.takes_null = true,
	.from_json = next_page_from_json,
	.from_proto = next_page_from_proto,
	.absent = next_page_absent,
	.to_json = next_page_to_json,
	.to_proto = next_page_to_proto,
};

/* ---- payload: a JSON object; map<string, Value> ---- */

/* Copies what was encoded into the arena. */
static struct value keep_value(struct message_reading *d, const struct buf *b)
{
	struct value v = { 0 };

	if (buf_err(b)) {
		message_no_memory(d);
		return v;
	}
	uint8_t *copy = message_array(d, b->len, 1);
	if (copy) {
		memcpy(copy, b->data, b->len);
		v = (struct value){ .data = copy, .len = (uint32_t)b->len };
	}
	return v;
}

static void payload_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);

	if (json_peek(r) != JSON_OBJECT) {
		json_fail(r, "expected an object");
		return;
	}
	enum err e = value_from_json(r, d->arena, &b);
	if (e == ERR_NONE)
		*(struct value *)member = keep_value(d, &b);
	else if (!json_failed(r))
		message_no_memory(d);
}

static struct value read_value(struct message_reading *d, struct bytes b, unsigned depth);

static uint32_t count_entries(struct bytes parent, uint32_t field)
{
	struct proto_reader r = proto_reader_of(parent);
	enum proto_type t;
	uint32_t number, n = 0;

	while (proto_next(&r, &number, &t)) {
		n += number == field;
		proto_skip(&r, t);
	}
	return n;
}

/* map<string, Value>: all entries of that field number in parent, as one object. */
static struct value read_object(struct message_reading *d, struct bytes parent, uint32_t field,
				unsigned depth)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct value_member *members =
		message_array(d, count_entries(parent, field), sizeof(*members));
	struct proto_reader r = proto_reader_of(parent);
	enum proto_type t;
	uint32_t number, n = 0;

	while (members && !d->err && proto_next(&r, &number, &t)) {
		if (number != field) {
			proto_skip(&r, t);
			continue;
		}
		struct proto_reader entry = proto_reader_of(proto_bytes(&r, t));
		struct str key = { .data = "" };
		struct bytes value = { 0 };
		while (proto_next(&entry, &number, &t)) {
			if (number == 1)
				key = proto_string(&entry, t);
			else if (number == 2)
				value = proto_bytes(&entry, t);
			else
				proto_skip(&entry, t);
		}
		if (entry.err)
			r.err = entry.err;
		else
			members[n++] =
				(struct value_member){ .key = key,
						       .value = read_value(d, value, depth) };
	}
	if (r.err)
		message_bad_proto(d);
	if (d->err)
		return (struct value){ 0 };
	if (value_put_object(&b, members, n) != ERR_NONE) {
		message_no_memory(d);
		return (struct value){ 0 };
	}
	return keep_value(d, &b);
}

static struct value read_list(struct message_reading *d, struct bytes list, unsigned depth)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct value *items = message_array(d, count_entries(list, 1), sizeof(*items));
	struct proto_reader r = proto_reader_of(list);
	enum proto_type t;
	uint32_t number, n = 0;

	while (items && !d->err && proto_next(&r, &number, &t)) {
		if (number == 1)
			items[n++] = read_value(d, proto_bytes(&r, t), depth);
		else
			proto_skip(&r, t);
	}
	if (r.err)
		message_bad_proto(d);
	if (d->err)
		return (struct value){ 0 };
	if (value_put_list(&b, items, n) != ERR_NONE) {
		message_no_memory(d);
		return (struct value){ 0 };
	}
	return keep_value(d, &b);
}

static void put_double(struct message_reading *d, struct buf *b, double v)
{
	if (isfinite(v))
		value_put_double(b, v);
	else
		message_bad_input(d, "a payload has a number that is not finite");
}

/* Value{null=1|double=2|int=3|string=4|bool=5|struct=6|list=7}; without any of them it is null. */
static struct value read_value(struct message_reading *d, struct bytes bytes, unsigned depth)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct proto_reader r = proto_reader_of(bytes);
	struct value nested = { 0 };
	enum proto_type t;
	uint32_t field;

	if (depth == VALUE_DEPTH_MAX) {
		message_bad_input(d, "a payload is nested more than %d deep", VALUE_DEPTH_MAX);
		return nested;
	}
	while (!d->err && proto_next(&r, &field, &t)) {
		buf_reset(&b);
		nested = (struct value){ 0 };
		switch (field) {
		case 1:
			proto_skip(&r, t);
			value_put_null(&b);
			break;
		case 2:
			put_double(d, &b, proto_double(&r, t));
			break;
		case 3:
			value_put_int(&b, proto_int64(&r, t));
			break;
		case 4:
			value_put_string(&b, proto_string(&r, t));
			break;
		case 5:
			value_put_bool(&b, proto_varint(&r, t) != 0);
			break;
		case 6:
			nested = read_object(d, proto_bytes(&r, t), 1, depth + 1);
			break;
		case 7:
			nested = read_list(d, proto_bytes(&r, t), depth + 1);
			break;
		default:
			proto_skip(&r, t);
			break;
		}
	}
	if (r.err)
		message_bad_proto(d);
	if (nested.data || d->err)
		return nested;
	if (b.len == 0)
		value_put_null(&b);
	return keep_value(d, &b);
}

static void payload_from_parent(struct message_reading *d, struct bytes parent, uint32_t field,
				void *member)
{
	*(struct value *)member = read_object(d, parent, field, 1);
}

/* An empty map leaves no trace in protobuf. */
static void payload_absent(struct message_reading *d, void *member)
{
	payload_from_parent(d, (struct bytes){ 0 }, 1, member);
}

static void payload_to_json(const void *member, struct json_writer *w)
{
	value_to_json(*(const struct value *)member, w);
}

static void put_value(struct buf *out, uint32_t field, struct value v);

static void put_entries(struct buf *out, uint32_t field, struct value object)
{
	struct value_iter it = value_items(object);
	struct value item;
	struct str key;

	while (value_next(&it, &key, &item)) {
		size_t mark = proto_begin(out, field);
		proto_put_bytes(out, 1, key.data, key.len);
		put_value(out, 2, item);
		proto_end(out, mark);
	}
}

static void put_items(struct buf *out, struct value list)
{
	struct value_iter it = value_items(list);
	struct value item;

	while (value_next(&it, NULL, &item))
		put_value(out, 1, item);
}

static void put_value(struct buf *out, uint32_t field, struct value v)
{
	size_t mark = proto_begin(out, field), inner;
	struct str text;

	switch (value_kind(v)) {
	case VALUE_NULL:
		proto_put_varint(out, 1, 0);
		break;
	case VALUE_FALSE:
	case VALUE_TRUE:
		proto_put_varint(out, 5, value_kind(v) == VALUE_TRUE);
		break;
	case VALUE_INT:
		proto_put_varint(out, 3, (uint64_t)value_int(v));
		break;
	case VALUE_UINT: /* Qdrant's Value has no such integers: what a client of it would see */
		proto_put_double(out, 2, (double)value_uint(v));
		break;
	case VALUE_DOUBLE:
		proto_put_double(out, 2, value_double(v));
		break;
	case VALUE_STRING:
		text = value_string(v);
		proto_put_bytes(out, 4, text.data, text.len);
		break;
	case VALUE_OBJECT:
		inner = proto_begin(out, 6);
		put_entries(out, 1, v);
		proto_end(out, inner);
		break;
	case VALUE_LIST:
		inner = proto_begin(out, 7);
		put_items(out, v);
		proto_end(out, inner);
		break;
	}
	proto_end(out, mark);
}

static void payload_to_proto(const void *member, uint32_t field, struct buf *out)
{
	put_entries(out, field, *(const struct value *)member);
}

const struct message_custom kind_payload = {
	.size = sizeof(struct value),
	.from_json = payload_from_json,
	.from_parent = payload_from_parent,
	.absent = payload_absent,
	.to_json = payload_to_json,
	.to_proto = payload_to_proto,
};

/* ---- with_payload: bool, [paths], {include}, {exclude}; {enable=1|include=2|exclude=3} ---- */

static void add_path(struct message_reading *d, struct with_payload *with, struct str text)
{
	struct fault fault = { 0 };

	with->paths = message_grow(d, with->paths, with->count, sizeof(*with->paths));
	if (!with->paths)
		return;
	if (path_parse(text, &with->paths[with->count], &fault) != ERR_NONE)
		message_bad_input(d, "%s", fault_text(&fault));
	with->count++;
}

static void paths_from_json(struct message_reading *d, struct json_reader *r,
			    struct with_payload *with)
{
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r)) {
		struct str text = json_string(r);
		if (!json_failed(r))
			add_path(d, with, text);
	}
}

static void with_payload_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct with_payload with = { .kind = WITH_PAYLOAD_INCLUDE };
	struct str key;
	uint32_t keys = 0;

	if (json_peek(r) == JSON_BOOL) {
		with.kind = json_bool(r) ? WITH_PAYLOAD_ALL : WITH_PAYLOAD_NONE;
	} else if (json_peek(r) == JSON_ARRAY) {
		paths_from_json(d, r, &with);
	} else if (json_enter_object(r)) {
		while (!d->err && json_next_key(r, &key)) {
			bool include = key.len == 7 && memcmp(key.data, "include", 7) == 0;
			bool exclude = key.len == 7 && memcmp(key.data, "exclude", 7) == 0;
			if ((!include && !exclude) || keys++ > 0) {
				json_fail(r, "expected either `include` or `exclude`");
				return;
			}
			with.kind = include ? WITH_PAYLOAD_INCLUDE : WITH_PAYLOAD_EXCLUDE;
			paths_from_json(d, r, &with);
		}
		if (keys == 0)
			json_fail(r, "expected either `include` or `exclude`");
	}
	*(struct with_payload *)member = with;
}

static void paths_from_proto(struct message_reading *d, struct bytes b, struct with_payload *with)
{
	struct proto_reader r = proto_reader_of(b);
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field != 1) {
			proto_skip(&r, t);
			continue;
		}
		struct str text = proto_string(&r, t);
		if (!r.err)
			add_path(d, with, text);
	}
	if (r.err)
		message_bad_proto(d);
}

static void with_payload_from_proto(struct message_reading *d, struct proto_reader *r,
				    enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct with_payload with =
		*(const struct with_payload *)member; /* an empty selector leaves the default */
	uint32_t field;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1) {
			with = (struct with_payload){
				.kind = proto_varint(&in, t) ? WITH_PAYLOAD_ALL : WITH_PAYLOAD_NONE,
			};
		} else if (field == 2 || field == 3) {
			with = (struct with_payload){
				.kind = field == 2 ? WITH_PAYLOAD_INCLUDE : WITH_PAYLOAD_EXCLUDE,
			};
			paths_from_proto(d, proto_bytes(&in, t), &with);
		} else {
			proto_skip(&in, t);
		}
	}
	if (in.err)
		message_bad_proto(d);
	*(struct with_payload *)member = with;
}

static void paths_to_json(const struct with_payload *with, const char *key, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, (struct str){ .data = key, .len = strlen(key) });
	json_put_array(w);
	for (uint32_t i = 0; i < with->count; i++)
		json_put_string(w, with->paths[i].text);
	json_put_array_end(w);
	json_put_object_end(w);
}

static void with_payload_to_json(const void *member, struct json_writer *w)
{
	const struct with_payload *with = member;

	switch (with->kind) {
	case WITH_PAYLOAD_NONE:
	case WITH_PAYLOAD_ALL:
		json_put_bool(w, with->kind == WITH_PAYLOAD_ALL);
		break;
	case WITH_PAYLOAD_INCLUDE:
		paths_to_json(with, "include", w);
		break;
	case WITH_PAYLOAD_EXCLUDE:
		paths_to_json(with, "exclude", w);
		break;
	}
}

static void with_payload_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct with_payload *with = member;
	bool simple = with->kind == WITH_PAYLOAD_NONE || with->kind == WITH_PAYLOAD_ALL;
	size_t mark = proto_begin(out, field);

	if (simple) {
		proto_put_varint(out, 1, with->kind == WITH_PAYLOAD_ALL);
	} else {
		size_t inner = proto_begin(out, with->kind == WITH_PAYLOAD_INCLUDE ? 2 : 3);
		for (uint32_t i = 0; i < with->count; i++)
			proto_put_bytes(out, 1, with->paths[i].text.data, with->paths[i].text.len);
		proto_end(out, inner);
	}
	proto_end(out, mark);
}

const struct message_custom kind_with_payload = {
	.size = sizeof(struct with_payload),
	.from_json = with_payload_from_json,
	.from_proto = with_payload_from_proto,
	.to_json = with_payload_to_json,
	.to_proto = with_payload_to_proto,
};

/* ---- with_vectors: bool, [names]; {enable=1|include=2{names=1}} ---- */

static void add_name(struct message_reading *d, struct with_vectors *with, struct str name)
{
	with->names = message_grow(d, with->names, with->count, sizeof(*with->names));
	if (with->names)
		with->names[with->count++] = name;
}

static void with_vectors_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct with_vectors with = { .kind = WITH_VECTORS_NAMED };

	if (json_peek(r) == JSON_BOOL) {
		with.kind = json_bool(r) ? WITH_VECTORS_ALL : WITH_VECTORS_NONE;
	} else if (json_enter_array(r)) {
		while (!d->err && json_next_element(r)) {
			struct str name = json_string(r);
			if (!json_failed(r))
				add_name(d, &with, name);
		}
	}
	*(struct with_vectors *)member = with;
}

static void names_from_proto(struct message_reading *d, struct bytes b, struct with_vectors *with)
{
	struct proto_reader r = proto_reader_of(b);
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field == 1)
			add_name(d, with, proto_string(&r, t));
		else
			proto_skip(&r, t);
	}
	if (r.err)
		message_bad_proto(d);
}

static void with_vectors_from_proto(struct message_reading *d, struct proto_reader *r,
				    enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct with_vectors with = *(const struct with_vectors *)member;
	uint32_t field;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1) {
			with = (struct with_vectors){
				.kind = proto_varint(&in, t) ? WITH_VECTORS_ALL : WITH_VECTORS_NONE,
			};
		} else if (field == 2) {
			with = (struct with_vectors){ .kind = WITH_VECTORS_NAMED };
			names_from_proto(d, proto_bytes(&in, t), &with);
		} else {
			proto_skip(&in, t);
		}
	}
	if (in.err)
		message_bad_proto(d);
	*(struct with_vectors *)member = with;
}

static void with_vectors_to_json(const void *member, struct json_writer *w)
{
	const struct with_vectors *with = member;

	if (with->kind != WITH_VECTORS_NAMED) {
		json_put_bool(w, with->kind == WITH_VECTORS_ALL);
		return;
	}
	json_put_array(w);
	for (uint32_t i = 0; i < with->count; i++)
		json_put_string(w, with->names[i]);
	json_put_array_end(w);
}

static void with_vectors_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct with_vectors *with = member;
	size_t mark = proto_begin(out, field);

	if (with->kind != WITH_VECTORS_NAMED) {
		proto_put_varint(out, 1, with->kind == WITH_VECTORS_ALL);
	} else {
		size_t inner = proto_begin(out, 2);
		for (uint32_t i = 0; i < with->count; i++)
			proto_put_bytes(out, 1, with->names[i].data, with->names[i].len);
		proto_end(out, inner);
	}
	proto_end(out, mark);
}

const struct message_custom kind_with_vectors = {
	.size = sizeof(struct with_vectors),
	.from_json = with_vectors_from_json,
	.from_proto = with_vectors_from_proto,
	.to_json = with_vectors_to_json,
	.to_proto = with_vectors_to_proto,
};

/* ---- read_consistency: a number, majority, quorum, all; {type=1 | factor=2} ---- */

/* ReadConsistencyType's numbers are the places here. */
static const struct {
	enum read_consistency_kind kind;
	const char *word;
} consistency_types[] = { { READ_ALL, "all" },
			  { READ_MAJORITY, "majority" },
			  { READ_QUORUM, "quorum" } };

static void set_factor(struct message_reading *d, struct read_consistency *c, uint64_t factor)
{
	if (factor == 0)
		message_invalid(d, "value %" PRIu64 " invalid, must be 1 or larger", factor);
	else if (factor > UINT32_MAX)
		message_invalid(d, "value %" PRIu64 " invalid, must be at most %" PRIu32, factor, UINT32_MAX);
	*c = (struct read_consistency){ .kind = READ_FACTOR, .factor = (uint32_t)factor };
}

static bool consistency_from_text(struct message_reading *d, struct str text, void *member)
{
	struct read_consistency *c = member;
	uint64_t factor;

	for (uint32_t i = 0; i < LEN(consistency_types); i++) {
		const char *word = consistency_types[i].word;
		if (strlen(word) == text.len && memcmp(word, text.data, text.len) == 0) {
			*c = (struct read_consistency){ .kind = consistency_types[i].kind };
			return true;
		}
	}
	if (!id_from_digits(text, &factor))
		return false;
	set_factor(d, c, factor);
	return true;
}

static void consistency_from_proto(struct message_reading *d, struct proto_reader *r,
				   enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct read_consistency *c = member;
	uint32_t field;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1) {
			uint64_t type = proto_varint(&in, t);
			if (type < LEN(consistency_types))
				*c = (struct read_consistency){
					.kind = consistency_types[type].kind
				};
			else
				message_bad_input(d, "read_consistency: unknown type %" PRIu64,
						  type);
		} else if (field == 2) {
			set_factor(d, c, proto_varint(&in, t));
		} else {
			proto_skip(&in, t);
		}
	}
	if (in.err)
		message_bad_proto(d);
}

static void consistency_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct read_consistency *c = member;

	if (c->kind == READ_FACTOR && c->factor == 0)
		return;
	size_t mark = proto_begin(out, field);
	if (c->kind == READ_FACTOR)
		proto_put_varint(out, 2, c->factor);
	for (uint32_t i = 0; i < LEN(consistency_types); i++)
		if (c->kind == consistency_types[i].kind)
			proto_put_varint(out, 1, i);
	proto_end(out, mark);
}

/* A parameter only: REST never has it in a body. */
const struct message_custom kind_read_consistency = {
	.size = sizeof(struct read_consistency),
	.from_proto = consistency_from_proto,
	.from_text = consistency_from_text,
	.text_form = "a whole number, `majority`, `quorum` or `all`",
	.to_proto = consistency_to_proto,
};
