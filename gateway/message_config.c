/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of collections: where JSON has a word or a bare object, and protobuf a oneof.
 */
#include "gateway/message_kinds.h"

#include <inttypes.h>
#include <string.h>

#include "base/panic.h"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* ---- vectors_config: parameters, or an object of them by name; {params=1 | params_map=2{map=1}}
 * ---- */

/* The unnamed vector's parameters, told from an object of named ones by `is_own`'s keys having no
 * objects. */
static bool is_single(struct json_reader ahead, const char *const *own, size_t own_count)
{
	struct str key;
	bool single = false;

	if (!json_enter_object(&ahead))
		return false;
	while (json_next_key(&ahead, &key)) {
		for (size_t i = 0; i < own_count; i++)
			single |= is_word(key, own[i]) && json_peek(&ahead) != JSON_OBJECT;
		json_skip(&ahead);
	}
	return single;
}

static void *add_named(struct message_reading *d, struct message_map *map, struct str name,
		       size_t size)
{
	for (uint32_t i = 0; i < map->count; i++)
		if (map->keys[i].len == name.len &&
		    memcmp(map->keys[i].data, name.data, name.len) == 0) {
			void *item = (char *)map->items + i * size;
			memset(item, 0, size); /* the last one counts */
			return item;
		}
	if (map->count == COLLECTION_VECTORS_MAX) {
		message_bad_input(d, "a collection has at most %d vectors", COLLECTION_VECTORS_MAX);
		return NULL;
	}
	map->keys = message_grow(d, map->keys, map->count, sizeof(*map->keys));
	map->items = message_grow(d, map->items, map->count, size);
	if (!map->keys || !map->items)
		return NULL;
	map->keys[map->count] = name;
	return (char *)map->items + map->count++ * size;
}

static void config_from_json(struct message_reading *d, struct json_reader *r,
			     const struct message *m, bool single, void *member)
{
	struct message_map map = { 0 };
	struct str key;

	if (single) {
		void *item = add_named(d, &map, STR(""), m->size);
		if (item)
			message_read_json(d, r, m, item);
	} else if (json_enter_object(r)) {
		while (!d->err && json_next_key(r, &key)) {
			void *item = add_named(d, &map, key, m->size);
			message_enter(d, key, -1);
			if (item)
				message_read_json(d, r, m, item);
			message_leave(d);
		}
	}
	memcpy(member, &map, sizeof(map));
}

static void entry_from_proto(struct message_reading *d, struct bytes bytes, const struct message *m,
			     struct message_map *map)
{
	struct proto_reader r = proto_reader_of(bytes);
	struct bytes value = { 0 };
	struct str key = { .data = "" };
	enum proto_type t;
	uint32_t field;

	while (proto_next(&r, &field, &t)) {
		if (field == 1)
			key = proto_string(&r, t);
		else if (field == 2)
			value = proto_bytes(&r, t);
		else
			proto_skip(&r, t);
	}
	if (r.err) {
		message_bad_proto(d);
		return;
	}
	void *item = add_named(d, map, key, m->size);
	message_enter(d, key, -1);
	if (item)
		message_read_proto(d, m, value, item);
	message_leave(d);
}

static void map_from_proto(struct message_reading *d, struct bytes bytes, const struct message *m,
			   struct message_map *map)
{
	struct proto_reader r = proto_reader_of(bytes);
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		struct bytes entry = { 0 };
		if (field == 1)
			entry = proto_bytes(&r, t);
		else
			proto_skip(&r, t);
		if (field == 1 && !r.err)
			entry_from_proto(d, entry, m, map);
	}
	if (r.err)
		message_bad_proto(d);
}

static void config_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			      const struct message *m, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct message_map map = { 0 };
	uint32_t field;

	while (!d->err && proto_next(&in, &field, &t)) {
		struct bytes inner = field <= 2 ? proto_bytes(&in, t) : (struct bytes){ 0 };
		if (field > 2)
			proto_skip(&in, t);
		if (in.err)
			break;
		if (field == 1) {
			void *item = add_named(d, &map, STR(""), m->size);
			if (item)
				message_read_proto(d, m, inner, item);
		} else if (field == 2) {
			map_from_proto(d, inner, m, &map);
		}
	}
	if (in.err)
		message_bad_proto(d);
	memcpy(member, &map, sizeof(map));
}

static bool is_unnamed(const struct message_map *map)
{
	return map->count == 1 && map->keys[0].len == 0;
}

static void config_to_json(const void *member, const struct message *m, struct json_writer *w)
{
	struct message_map map;

	memcpy(&map, member, sizeof(map));
	if (is_unnamed(&map)) {
		message_to_json(m, map.items, w);
		return;
	}
	json_put_object(w);
	for (uint32_t i = 0; i < map.count; i++) {
		json_put_key(w, map.keys[i]);
		message_to_json(m, (const char *)map.items + i * m->size, w);
	}
	json_put_object_end(w);
}

static void config_to_proto(const void *member, const struct message *m, uint32_t field,
			    struct buf *out)
{
	struct message_map map;
	size_t mark = proto_begin(out, field);

	memcpy(&map, member, sizeof(map));
	size_t inner = proto_begin(out, is_unnamed(&map) ? 1 : 2);
	if (is_unnamed(&map))
		message_to_proto(m, map.items, out);
	for (uint32_t i = 0; i < map.count && !is_unnamed(&map); i++) {
		size_t entry = proto_begin(out, 1);
		proto_put_bytes(out, 1, map.keys[i].data, map.keys[i].len);
		size_t value = proto_begin(out, 2);
		message_to_proto(m, (const char *)map.items + i * m->size, out);
		proto_end(out, value);
		proto_end(out, entry);
	}
	proto_end(out, inner);
	proto_end(out, mark);
}

static void vectors_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	static const char *const own[] = { "size", "distance" };

	config_from_json(d, r, &message_vector_params, is_single(*r, own, LEN(own)), member);
}

static void vectors_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member)
{
	config_from_proto(d, r, t, &message_vector_params, member);
}

static void vectors_to_json(const void *member, struct json_writer *w)
{
	config_to_json(member, &message_vector_params, w);
}

static void vectors_to_proto(const void *member, uint32_t field, struct buf *out)
{
	config_to_proto(member, &message_vector_params, field, out);
}

const struct message_custom kind_vectors_config = {
	.size = sizeof(struct msg_vector_params_map),
	.from_json = vectors_from_json,
	.from_proto = vectors_from_proto,
	.to_json = vectors_to_json,
	.to_proto = vectors_to_proto,
};

/* ---- vectors_config_diff: in JSON always by name, "" the unnamed one ---- */

static void vectors_diff_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	config_from_json(d, r, &message_vector_params_diff, false, member);
}

static void vectors_diff_from_proto(struct message_reading *d, struct proto_reader *r,
				    enum proto_type t, void *member)
{
	config_from_proto(d, r, t, &message_vector_params_diff, member);
}

static void vectors_diff_to_json(const void *member, struct json_writer *w)
{
	struct message_map map;

	memcpy(&map, member, sizeof(map));
	json_put_object(w);
	for (uint32_t i = 0; i < map.count; i++) {
		json_put_key(w, map.keys[i]);
		message_to_json(&message_vector_params_diff,
				(const char *)map.items + i * message_vector_params_diff.size, w);
	}
	json_put_object_end(w);
}

static void vectors_diff_to_proto(const void *member, uint32_t field, struct buf *out)
{
	config_to_proto(member, &message_vector_params_diff, field, out);
}

const struct message_custom kind_vectors_config_diff = {
	.size = sizeof(struct msg_vector_params_diff_map),
	.from_json = vectors_diff_from_json,
	.from_proto = vectors_diff_from_proto,
	.to_json = vectors_diff_to_json,
	.to_proto = vectors_diff_to_proto,
};

/* ---- quantization_diff: "Disabled", or as quantization_config ---- */

static void quantization_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct msg_quantization_diff *q = member;

	if (json_peek(r) != JSON_STRING) {
		message_read_json(d, r, &message_quantization_diff, member);
		return;
	}
	struct str word = json_string(r);
	if (!json_failed(r) && !is_word(word, "Disabled"))
		json_fail(r, "unknown variant, expected `Disabled`");
	q->has_disabled = true;
}

static void quantization_from_proto(struct message_reading *d, struct proto_reader *r,
				    enum proto_type t, void *member)
{
	struct bytes b = proto_bytes(r, t);
	memset(member, 0, sizeof(struct msg_quantization_diff));
	if (!r->err)
		message_read_proto(d, &message_quantization_diff, b, member);
}

static void quantization_to_json(const void *member, struct json_writer *w)
{
	const struct msg_quantization_diff *q = member;

	if (q->has_disabled)
		json_put_cstr(w, "Disabled");
	else
		message_to_json(&message_quantization_diff, member, w);
}

static void quantization_to_proto(const void *member, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);
	message_to_proto(&message_quantization_diff, member, out);
	proto_end(out, mark);
}

const struct message_custom kind_quantization_diff = {
	.size = sizeof(struct msg_quantization_diff),
	.from_json = quantization_from_json,
	.from_proto = quantization_from_proto,
	.to_json = quantization_to_json,
	.to_proto = quantization_to_proto,
};

/* ---- max_threads: a number or "auto"; {value=1 | setting=2} ---- */

static void threads_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct max_threads *threads = member;

	(void)d; /* nothing is kept */
	*threads = (struct max_threads){ .automatic = json_peek(r) == JSON_STRING };
	if (!threads->automatic) {
		threads->value = json_u64(r);
		return;
	}
	struct str word = json_string(r);
	if (!json_failed(r) && !is_word(word, "auto"))
		json_fail(r, "unknown variant, expected `auto`");
}

static void threads_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct max_threads *threads = member;
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 1) {
			*threads = (struct max_threads){ .value = proto_varint(&in, t) };
		} else if (field == 2) {
			*threads = (struct max_threads){ .automatic = true };
			proto_skip(&in, t);
		} else {
			proto_skip(&in, t);
		}
	}
	if (in.err)
		message_bad_proto(d);
}

static void threads_to_json(const void *member, struct json_writer *w)
{
	const struct max_threads *threads = member;

	if (threads->automatic)
		json_put_cstr(w, "auto");
	else
		json_put_u64(w, threads->value);
}

static void threads_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct max_threads *threads = member;
	size_t mark = proto_begin(out, field);

	if (threads->automatic)
		proto_put_varint(out, 2, 0);
	else
		proto_put_varint(out, 1, threads->value);
	proto_end(out, mark);
}

const struct message_custom kind_max_threads = {
	.size = sizeof(struct max_threads),
	.from_json = threads_from_json,
	.from_proto = threads_from_proto,
	.to_json = threads_to_json,
	.to_proto = threads_to_proto,
};

/* ---- optimizer_status: "ok" or {"error"}; {ok=1, error=2} ---- */

static void status_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct optimizer_status *status = member;
	struct str key;

	(void)d; /* nothing is kept */
	if (json_peek(r) == JSON_STRING) {
		(void)json_string(r);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "error"))
			status->error = json_string(r);
		else
			json_skip(r);
	}
}

static void status_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			      void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct optimizer_status *status = member;
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 2)
			status->error = proto_string(&in, t);
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
}

static void status_to_json(const void *member, struct json_writer *w)
{
	const struct optimizer_status *status = member;

	if (status->error.len == 0) {
		json_put_cstr(w, "ok");
		return;
	}
	json_put_object(w);
	json_put_key(w, STR("error"));
	json_put_string(w, status->error);
	json_put_object_end(w);
}

static void status_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct optimizer_status *status = member;
	size_t mark = proto_begin(out, field);

	if (status->error.len == 0)
		proto_put_varint(out, 1, 1);
	else
		proto_put_bytes(out, 2, status->error.data, status->error.len);
	proto_end(out, mark);
}

const struct message_custom kind_optimizer_status = {
	.size = sizeof(struct optimizer_status),
	.from_json = status_from_json,
	.from_proto = status_from_proto,
	.to_json = status_to_json,
	.to_proto = status_to_proto,
};

/* ---- index_params: {"type", and that type's fields}; a oneof ---- */

/* The row of message_index_params for a type. Its keys are the words of the enum. */
static const struct message_row *params_row(struct str word)
{
	for (uint32_t i = 0; i < message_index_params.row_count; i++)
		if (is_word(word, message_index_params.rows[i].json))
			return &message_index_params.rows[i];
	return NULL;
}

static const struct message_row *given_row(const struct msg_index_params *params)
{
	for (uint32_t i = 0; i < message_index_params.row_count; i++)
		if (message_has(&message_index_params.rows[i], params))
			return &message_index_params.rows[i];
	PANIC("parameters of no type");
}

/* By the order of message_index_params' rows, which is that of their numbers. */
static enum field_schema schema_of(const struct message_row *row)
{
	static const enum field_schema types[] = {
		FIELD_TEXT, FIELD_INTEGER, FIELD_KEYWORD,  FIELD_FLOAT,
		FIELD_GEO,  FIELD_BOOL,    FIELD_DATETIME, FIELD_UUID,
	};

	ASSERT(row->proto >= 1 && row->proto <= LEN(types));
	return types[row->proto - 1];
}

/* The "type" of the object that follows. Looks, and reads nothing. */
static struct str type_of(struct json_reader ahead)
{
	struct str key, word = { 0 };

	if (!json_enter_object(&ahead))
		return word;
	while (json_next_key(&ahead, &key)) {
		if (is_word(key, "type") && json_peek(&ahead) == JSON_STRING)
			word = json_string(&ahead);
		else
			json_skip(&ahead);
	}
	return word;
}

static const struct msg_index_params *read_params(struct message_reading *d, struct json_reader *r,
						  const struct message_row **ret_row)
{
	struct str word = type_of(*r);
	const struct message_row *row = word.data ? params_row(word) : NULL;

	*ret_row = row;
	if (!row) {
		message_json_fail(
			d, r,
			"data did not match any variant of untagged enum PayloadSchemaParams");
		return NULL;
	}
	struct msg_index_params *params = message_array(d, 1, sizeof(*params));
	if (!params)
		return NULL;
	message_read_json(d, r, row->message, (char *)params + row->offset);
	message_set_has(row, params);
	return params;
}

static void params_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	const struct message_row *row;

	*(const struct msg_index_params **)member = read_params(d, r, &row);
}

static void params_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			      void *member)
{
	struct bytes b = proto_bytes(r, t);
	struct msg_index_params *params = message_array(d, 1, sizeof(*params));

	if (params && !r->err)
		message_read_proto(d, &message_index_params, b, params);
	*(const struct msg_index_params **)member = params;
}

/* message_to_json writes the object; the type is put in front of the first of its fields. */
static void params_to_json(const void *member, struct json_writer *w)
{
	const struct msg_index_params *params = *(const struct msg_index_params *const *)member;
	const struct message_row *row = given_row(params);
	CLEANUP(buf_release) struct buf text = BUF_INIT(1u << 16);
	struct json_writer inner = json_writer_to(&text);

	message_to_json(row->message, (const char *)params + row->offset, &inner);
	struct str fields = buf_str(&text);
	if (buf_err(&text) || fields.len < 2) {
		json_put_null(w);
		return;
	}
	CLEANUP(buf_release) struct buf whole = BUF_INIT(1u << 17);
	buf_printf(&whole, "{\"type\":\"%s\"%s", row->json, fields.len > 2 ? "," : "");
	buf_append(&whole, fields.data + 1, fields.len - 1);
	json_put_raw(w, buf_str(&whole));
}

static void params_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct msg_index_params *params = *(const struct msg_index_params *const *)member;
	size_t mark = proto_begin(out, field);

	message_to_proto(&message_index_params, params, out);
	proto_end(out, mark);
}

const struct message_custom kind_index_params = {
	.size = sizeof(const struct msg_index_params *),
	.from_json = params_from_json,
	.from_proto = params_from_proto,
	.to_json = params_to_json,
	.to_proto = params_to_proto,
};

/* ---- field_schema: a word, or parameters with a type; two fields in protobuf ---- */

static void schema_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct index_schema *schema = member;
	const struct message_row *row;

	if (json_peek(r) != JSON_STRING) {
		schema->params = read_params(d, r, &row);
		if (schema->params)
			schema->type = schema_of(row);
		return;
	}
	struct str word = json_string(r);
	if (json_failed(r))
		return;
	row = params_row(word);
	if (row)
		schema->type = schema_of(row);
	else
		message_json_fail(
			d, r, "data did not match any variant of untagged enum PayloadFieldSchema");
}

static void schema_to_json(const void *member, struct json_writer *w)
{
	const struct index_schema *schema = member;

	if (schema->params) {
		params_to_json(&schema->params, w);
		return;
	}
	for (uint32_t i = 0; i < message_index_params.row_count; i++)
		if (schema_of(&message_index_params.rows[i]) == schema->type)
			json_put_cstr(w, message_index_params.rows[i].json);
}

const struct message_custom kind_field_schema = {
	.size = sizeof(struct index_schema),
	.from_json = schema_from_json,
	.to_json = schema_to_json,
};

/* FieldType counts from 0, PayloadSchemaType (and index/) from 1. Parameters win when both are
 * given. */
static void schema_type_from_proto(struct message_reading *d, struct proto_reader *r,
				   enum proto_type t, void *member)
{
	struct index_schema *schema = member;
	uint64_t number = proto_varint(r, t);

	if (number >= FIELD_UUID)
		message_bad_input(d, "field_type: unknown value %" PRIu64, number);
	else if (!schema->params)
		schema->type = (enum field_schema)(number + FIELD_KEYWORD);
}

static void schema_type_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct index_schema *schema = member;

	proto_put_varint(out, field, (uint64_t)schema->type - FIELD_KEYWORD);
}

const struct message_custom kind_field_schema_type = {
	.size = sizeof(struct index_schema),
	.from_proto = schema_type_from_proto,
	.to_proto = schema_type_to_proto,
};

static void schema_params_from_proto(struct message_reading *d, struct proto_reader *r,
				     enum proto_type t, void *member)
{
	struct index_schema *schema = member;

	params_from_proto(d, r, t, &schema->params);
	if (!d->err && !r->err)
		schema->type = schema_of(given_row(schema->params));
}

static void schema_params_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct index_schema *schema = member;

	if (schema->params)
		params_to_proto(&schema->params, field, out);
}

const struct message_custom kind_field_schema_params = {
	.size = sizeof(struct index_schema),
	.from_proto = schema_params_from_proto,
	.to_proto = schema_params_to_proto,
};
