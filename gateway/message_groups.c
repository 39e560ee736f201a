/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of groups and of distance matrices.
 *   with_lookup   in JSON the name of a collection, or an object
 *   group_id      an integer or a string
 *   floats, numbers   lists of numbers; packed in protobuf
 */
#include "gateway/message_kinds.h"

#include <string.h>

/* ---- with_lookup ---- */

static void with_lookup_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct msg_lookup_with *l = message_array(d, 1, sizeof(*l));

	if (!l)
		return;
	*(const struct msg_lookup_with **)member = l;
	message_set_defaults(&message_lookup_with, l);
	if (json_peek(r) == JSON_STRING)
		l->collection = json_string(r);
	else
		message_read_json(d, r, &message_lookup_with, l);
}

static void with_lookup_from_proto(struct message_reading *d, struct proto_reader *r,
				   enum proto_type t, void *member)
{
	struct msg_lookup_with *l = message_array(d, 1, sizeof(*l));
	struct bytes inner = proto_bytes(r, t);

	if (!l || r->err)
		return;
	*(const struct msg_lookup_with **)member = l;
	message_read_proto(d, &message_lookup_with, inner, l);
}

static void with_lookup_to_json(const void *member, struct json_writer *w)
{
	message_to_json(&message_lookup_with, *(const struct msg_lookup_with *const *)member, w);
}

static void with_lookup_to_proto(const void *member, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	message_to_proto(&message_lookup_with, *(const struct msg_lookup_with *const *)member, out);
	proto_end(out, mark);
}

static void with_lookup_check(struct message_reading *d, const void *member)
{
	message_check(d, &message_lookup_with, *(const struct msg_lookup_with *const *)member);
}

const struct message_custom kind_with_lookup = {
	.size = sizeof(const struct msg_lookup_with *),
	.from_json = with_lookup_from_json,
	.from_proto = with_lookup_from_proto,
	.to_json = with_lookup_to_json,
	.to_proto = with_lookup_to_proto,
	.check = with_lookup_check,
};

/* ---- group_id ---- */

static void group_id_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct group_id *g = member;

	(void)d; /* r has the error */
	if (json_peek(r) == JSON_STRING) {
		*g = (struct group_id){ .kind = GROUP_STRING, .text = json_string(r) };
		return;
	}
	struct json_number n = json_number(r);
	if (n.kind == JSON_DOUBLE)
		json_fail(r, "a group is an integer or a string");
	else if (n.kind == JSON_INT && n.i < 0)
		*g = (struct group_id){ .kind = GROUP_INT, .number = (uint64_t)n.i };
	else
		*g = (struct group_id){ .kind = GROUP_UNSIGNED,
					.number = n.kind == JSON_UINT ? n.u : (uint64_t)n.i };
}

static void group_id_to_json(const void *member, struct json_writer *w)
{
	const struct group_id *g = member;

	if (g->kind == GROUP_STRING)
		json_put_string(w, g->text);
	else if (g->kind == GROUP_INT)
		json_put_i64(w, (int64_t)g->number);
	else
		json_put_u64(w, g->number);
}

/* GroupId{unsigned_value=1 | integer_value=2 | string_value=3} */
static void group_id_from_proto(struct message_reading *d, struct proto_reader *r,
				enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct group_id g = { 0 };
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 3)
			g = (struct group_id){ .kind = GROUP_STRING, .text = proto_string(&in, t) };
		else if (field == 1 || field == 2)
			g = (struct group_id){ .kind = field == 1 ? GROUP_UNSIGNED : GROUP_INT,
					       .number = proto_varint(&in, t) };
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
	memcpy(member, &g, sizeof(g));
}

static void group_id_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct group_id *g = member;
	size_t mark = proto_begin(out, field);

	if (g->kind == GROUP_STRING)
		proto_put_bytes(out, 3, g->text.data, g->text.len);
	else
		proto_put_varint(out, g->kind == GROUP_UNSIGNED ? 1 : 2, g->number);
	proto_end(out, mark);
}

const struct message_custom kind_group_id = {
	.size = sizeof(struct group_id),
	.from_json = group_id_from_json,
	.from_proto = group_id_from_proto,
	.to_json = group_id_to_json,
	.to_proto = group_id_to_proto,
};

/* ---- floats, numbers ---- */

static void floats_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct float_list *list = member;

	list->items = json_floats(r, &list->count);
	if (!list->items && !json_failed(r))
		message_no_memory(d);
}

static void floats_to_json(const void *member, struct json_writer *w)
{
	const struct float_list *list = member;

	json_put_floats(w, list->items, list->count);
}

static void floats_from_parent(struct message_reading *d, struct bytes parent, uint32_t field,
			       void *member)
{
	struct float_list *list = member;

	list->items = message_floats_from_proto(d, parent, field, &list->count);
}

static void floats_absent(struct message_reading *d, void *member)
{
	(void)d; /* none is an empty list */
	memset(member, 0, sizeof(struct float_list));
}

static void floats_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct float_list *list = member;

	proto_put_floats(out, field, list->items, list->count);
}

const struct message_custom kind_floats = {
	.size = sizeof(struct float_list),
	.from_json = floats_from_json,
	.from_parent = floats_from_parent,
	.absent = floats_absent,
	.to_json = floats_to_json,
	.to_proto = floats_to_proto,
};

static void add_number(struct message_reading *d, struct number_list *list, uint64_t v)
{
	list->items = message_grow(d, list->items, list->count, sizeof(*list->items));
	if (list->items)
		list->items[list->count++] = v;
}

static void numbers_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r))
		add_number(d, member, json_u64(r));
}

static void numbers_to_json(const void *member, struct json_writer *w)
{
	const struct number_list *list = member;

	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		json_put_u64(w, list->items[i]);
	json_put_array_end(w);
}

/* One occurrence: packed, or a single one. */
static void numbers_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member)
{
	if (t != PROTO_LENGTH) {
		add_number(d, member, proto_varint(r, t));
		return;
	}
	struct proto_reader packed = proto_reader_of(proto_bytes(r, t));
	while (!d->err && packed.p < packed.end)
		add_number(d, member, proto_varint(&packed, PROTO_VARINT));
	if (packed.err)
		message_bad_proto(d);
}

static void numbers_absent(struct message_reading *d, void *member)
{
	(void)d; /* none is an empty list */
	memset(member, 0, sizeof(struct number_list));
}

static void numbers_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct number_list *list = member;
	size_t mark = proto_begin(out, field);

	for (uint32_t i = 0; i < list->count; i++) {
		uint64_t rest = list->items[i];
		for (; rest >= 0x80; rest >>= 7)
			buf_append_byte(out, (uint8_t)(rest | 0x80));
		buf_append_byte(out, (uint8_t)rest);
	}
	proto_end(out, mark);
}

const struct message_custom kind_numbers = {
	.size = sizeof(struct number_list),
	.from_json = numbers_from_json,
	.from_proto = numbers_from_proto,
	.absent = numbers_absent,
	.to_json = numbers_to_json,
	.to_proto = numbers_to_proto,
};
