/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds made of vectors: those of points, of a batch of columns, of queries and of the
 * older searches.
 *
 *   JSON      [f32 …] dense, [[f32 …] …] multi, {"indices", "values"} sparse, an object of them by name
 *   protobuf  written in the oneof (dense=101, sparse=102, multi_dense=103); read in it, or flat (data=1,
 *             indices=2, vectors_count=3)
 */
#include "gateway/message_kinds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFERENCE "vectors inferred from text, images or objects"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

static bool is_one_of(struct str s, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_word(s, words[i]))
			return true;
	return false;
}

static bool is_inference_key(struct str key)
{
	static const char *const words[] = { "text", "image", "object", "model" };

	return is_one_of(key, words, LEN(words));
}

/* ---- sparse: sorted by index, which is unique ---- */

struct entry {
	uint32_t index;
	float value;
};

static int compare_entries(const void *a, const void *b)
{
	uint32_t left = ((const struct entry *)a)->index, right = ((const struct entry *)b)->index;
	return (left > right) - (left < right);
}

static bool is_ascending(const uint32_t *indices, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (indices[i] <= indices[i - 1])
			return false;
	return true;
}

static void sort_sparse(struct message_reading *d, uint32_t *indices, float *values, uint32_t count)
{
	if (is_ascending(indices, count))
		return;
	struct entry *entries = message_array(d, count, sizeof(*entries));
	if (!entries)
		return;
	for (uint32_t i = 0; i < count; i++)
		entries[i] = (struct entry){ .index = indices[i], .value = values[i] };
	qsort(entries, count, sizeof(*entries), compare_entries);
	for (uint32_t i = 0; i < count; i++) {
		indices[i] = entries[i].index;
		values[i] = entries[i].value;
	}
	if (!is_ascending(indices, count))
		message_invalid(d, "must be unique");
}

static struct vector make_sparse(struct message_reading *d, uint32_t *indices, uint32_t index_count,
				 float *values, uint32_t value_count)
{
	if (index_count != value_count) {
		message_enter(d, STR("values"), -1);
		message_invalid(d, "must be the same length as indices");
		message_leave(d);
		return (struct vector){ 0 };
	}
	message_enter(d, STR("indices"), -1);
	sort_sparse(d, indices, values, index_count);
	message_leave(d);
	return (struct vector){
		.kind = VECTOR_SPARSE,
		.count = index_count,
		.values = values,
		.indices = indices,
	};
}

/* ---- one vector in JSON ---- */

static uint32_t *read_indices(struct message_reading *d, struct json_reader *r, uint32_t *ret_count)
{
	uint32_t *items = NULL, count = 0;

	if (!json_enter_array(r))
		return NULL;
	while (!d->err && json_next_element(r)) {
		uint64_t v = json_u64(r);
		if (v > UINT32_MAX)
			json_fail(r, "invalid value: integer out of range, expected u32");
		items = message_grow(d, items, count, sizeof(*items));
		if (items)
			items[count++] = (uint32_t)v;
	}
	*ret_count = count;
	return items;
}

static float *read_floats(struct message_reading *d, struct json_reader *r, uint32_t *ret_count)
{
	float *values = json_floats(r, ret_count);
	if (!values && !json_failed(r))
		message_no_memory(d);
	return values;
}

/* *r stands before an object. */
static struct vector read_sparse(struct message_reading *d, struct json_reader *r)
{
	uint32_t *indices = NULL, index_count = 0, value_count = 0;
	bool has_indices = false, has_values = false;
	float *values = NULL;
	struct str key;

	if (!json_enter_object(r))
		return (struct vector){ 0 };
	while (!d->err && json_next_key(r, &key)) {
		if (is_word(key, "indices")) {
			indices = read_indices(d, r, &index_count);
			has_indices = true;
		} else if (is_word(key, "values")) {
			values = read_floats(d, r, &value_count);
			has_values = true;
		} else if (is_inference_key(key)) {
			message_later(d, INFERENCE);
		} else {
			json_skip(r);
		}
	}
	if (!json_failed(r) && (!has_indices || !has_values))
		json_fail(r, "a sparse vector needs `indices` and `values`");
	if (d->err || json_failed(r))
		return (struct vector){ 0 };
	return make_sparse(d, indices, index_count, values, value_count);
}

/* An array of arrays? Looks, and reads nothing. */
static bool is_nested_array(struct json_reader ahead)
{
	return json_enter_array(&ahead) && json_next_element(&ahead) &&
	       json_peek(&ahead) == JSON_ARRAY;
}

/* A multivector that grows: vectors of one size, one behind the other. */
struct rows {
	float *values;
	size_t count, room;
	uint32_t rows, dim;
};

static void add_row(struct message_reading *d, struct rows *to, const float *row, uint32_t count)
{
	if (to->rows == 0)
		to->dim = count;
	if (count == 0)
		message_invalid(d, "all vectors must be non-empty");
	else if (count != to->dim)
		message_invalid(d, "all vectors must have the same dimension, found one of size %u, expected %u", count,
				to->dim);
	if (d->err)
		return;
	if (to->count + count > to->room) {
		size_t room = MAX(to->room * 2, to->count + count);
		float *values = room <= UINT32_MAX ? message_array(d, room, sizeof(*values)) : NULL;
		if (!values) {
			message_no_memory(d);
			return;
		}
		if (to->count > 0)
			memcpy(values, to->values, to->count * sizeof(*values));
		to->values = values;
		to->room = room;
	}
	memcpy(to->values + to->count, row, count * sizeof(*row));
	to->count += count;
	to->rows++;
}

static struct vector make_multi(struct message_reading *d, const struct rows *from)
{
	if (!d->err && from->rows == 0)
		message_invalid(d, "a multivector must have at least one vector");
	return (struct vector){ .kind = VECTOR_MULTI, .count = (uint32_t)from->count, .rows = from->rows,
				.values = from->values };
}

static struct vector read_multi(struct message_reading *d, struct json_reader *r)
{
	struct rows rows = { 0 };

	if (!json_enter_array(r))
		return (struct vector){ 0 };
	while (!d->err && json_next_element(r)) {
		uint32_t count = 0;
		const float *row = read_floats(d, r, &count);
		if (row && !json_failed(r))
			add_row(d, &rows, row, count);
	}
	return json_failed(r) ? (struct vector){ 0 } : make_multi(d, &rows);
}

static struct vector read_dense(struct message_reading *d, struct json_reader *r)
{
	struct vector v = { .kind = VECTOR_DENSE };

	if (is_nested_array(*r))
		return read_multi(d, r);
	v.values = read_floats(d, r, &v.count);
	return v;
}

static struct vector read_vector(struct message_reading *d, struct json_reader *r)
{
	if (json_peek(r) == JSON_OBJECT)
		return read_sparse(d, r);
	return read_dense(d, r);
}

static void put_sparse(const struct vector *v, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("indices"));
	json_put_array(w);
	for (uint32_t i = 0; i < v->count; i++)
		json_put_u64(w, v->indices[i]);
	json_put_array_end(w);
	json_put_key(w, STR("values"));
	json_put_floats(w, v->values, v->count);
	json_put_object_end(w);
}

static void put_multi(const struct vector *v, struct json_writer *w)
{
	uint32_t dim = v->rows > 0 ? v->count / v->rows : 0;

	json_put_array(w);
	for (uint32_t i = 0; i < v->rows; i++)
		json_put_floats(w, v->values + (size_t)i * dim, dim);
	json_put_array_end(w);
}

static void put_vector(const struct vector *v, struct json_writer *w)
{
	switch (v->kind) {
	case VECTOR_SPARSE:
		put_sparse(v, w);
		break;
	case VECTOR_MULTI:
		put_multi(v, w);
		break;
	case VECTOR_DENSE:
		json_put_floats(w, v->values, v->count);
		break;
	}
}

/* ---- one vector in protobuf ---- */

/* All floats of that field, packed or not, in one piece. NULL on failure. */
static float *proto_read_floats(struct message_reading *d, struct bytes b, uint32_t field,
				uint32_t *ret_count)
{
	struct proto_reader r = proto_reader_of(b);
	uint64_t bytes = 0;
	enum proto_type t;
	uint32_t number;

	while (proto_next(&r, &number, &t)) {
		bool ours = number == field && t == PROTO_LENGTH;
		bytes += ours ? proto_bytes(&r, t).len : 0;
		bytes += number == field && t == PROTO_FIXED32 ? sizeof(float) : 0;
		if (!ours)
			proto_skip(&r, t);
	}
	if (r.err || bytes % sizeof(float) != 0) {
		message_bad_proto(d);
		return NULL;
	}
	float *values = message_array(d, bytes / sizeof(float), sizeof(float));
	char *out = (char *)values;
	r = proto_reader_of(b);
	while (values && proto_next(&r, &number, &t)) {
		if (number == field && t == PROTO_LENGTH) {
			struct bytes packed = proto_bytes(&r, t);
			memcpy(out, packed.data, packed.len); /* little-endian, as the machine */
			out += packed.len;
		} else if (number == field && t == PROTO_FIXED32) {
			float one = proto_float(&r, t);
			memcpy(out, &one, sizeof(one));
			out += sizeof(one);
		} else {
			proto_skip(&r, t);
		}
	}
	uint32_t count = (uint32_t)(bytes / sizeof(float));
	for (uint32_t i = 0; values && i < count; i++)
		if (!isfinite(values[i])) {
			message_bad_input(d,
					  "a vector has a component that is not a finite number");
			return NULL;
		}
	*ret_count = count;
	return values;
}

static void add_index(struct message_reading *d, uint64_t v, uint32_t **items, uint32_t *count)
{
	if (v > UINT32_MAX)
		message_bad_input(d, "an index of a sparse vector has more than 32 bits");
	*items = message_grow(d, *items, *count, sizeof(**items));
	if (*items)
		(*items)[(*count)++] = (uint32_t)v;
}

/* All uint32 of that field, packed or not. */
static uint32_t *proto_read_indices(struct message_reading *d, struct bytes b, uint32_t field,
				    uint32_t *ret_count)
{
	struct proto_reader r = proto_reader_of(b);
	uint32_t *items = NULL, number;
	enum proto_type t;

	*ret_count = 0;
	while (!d->err && proto_next(&r, &number, &t)) {
		if (number != field) {
			proto_skip(&r, t);
		} else if (t == PROTO_LENGTH) {
			struct proto_reader packed = proto_reader_of(proto_bytes(&r, t));
			while (!d->err && packed.p < packed.end)
				add_index(d, proto_varint(&packed, PROTO_VARINT), &items,
					  ret_count);
			if (packed.err)
				message_bad_proto(d);
		} else {
			uint64_t v = proto_varint(&r, t);
			if (!r.err)
				add_index(d, v, &items, ret_count);
		}
	}
	if (r.err)
		message_bad_proto(d);
	return items;
}

/* SparseVector{values=1, indices=2} */
static struct vector proto_read_sparse(struct message_reading *d, struct bytes b)
{
	uint32_t value_count = 0, index_count = 0;
	float *values = proto_read_floats(d, b, 1, &value_count);
	uint32_t *indices = proto_read_indices(d, b, 2, &index_count);

	return d->err ? (struct vector){ 0 }
		      : make_sparse(d, indices, index_count, values, value_count);
}

/* DenseVector{data=1} */
static struct vector proto_read_dense(struct message_reading *d, struct bytes b)
{
	struct vector v = { .kind = VECTOR_DENSE };

	v.values = proto_read_floats(d, b, 1, &v.count);
	return v;
}

/* MultiDenseVector{vectors=1: DenseVector[]} */
static struct vector proto_read_multi(struct message_reading *d, struct bytes b)
{
	struct proto_reader r = proto_reader_of(b);
	struct rows rows = { 0 };
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field != 1) {
			proto_skip(&r, t);
			continue;
		}
		struct vector row = proto_read_dense(d, proto_bytes(&r, t));
		if (!d->err)
			add_row(d, &rows, row.values, row.count);
	}
	if (r.err)
		message_bad_proto(d);
	return make_multi(d, &rows);
}

/* The flat form has the number of vectors beside their values. */
static struct vector cut_flat(struct message_reading *d, struct vector flat, uint64_t count)
{
	if (count == 0 || flat.count == 0 || flat.count % count != 0) {
		message_invalid(d, "%u values are not those of %llu vectors of one dimension", flat.count,
				(unsigned long long)count);
		return flat;
	}
	flat.kind = VECTOR_MULTI;
	flat.rows = (uint32_t)count;
	return flat;
}

/* The last bytes of that field; data == NULL: it is not there. */
static struct bytes proto_find(struct message_reading *d, struct bytes b, uint32_t field)
{
	struct proto_reader r = proto_reader_of(b);
	struct bytes found = { 0 };
	enum proto_type t;
	uint32_t number;

	while (proto_next(&r, &number, &t)) {
		if (number == field)
			found = proto_bytes(&r, t);
		else
			proto_skip(&r, t);
	}
	if (r.err)
		message_bad_proto(d);
	return found;
}

/* Vector: the oneof if there is one, else the flat form. */
static struct vector proto_read_vector(struct message_reading *d, struct bytes b)
{
	struct proto_reader r = proto_reader_of(b);
	struct bytes dense = { 0 }, sparse = { 0 }, multi = { 0 }, indices = { 0 };
	bool has_count = false;
	uint64_t vectors = 0;
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field == 101)
			dense = proto_bytes(&r, t);
		else if (field == 102)
			sparse = proto_bytes(&r, t);
		else if (field == 103)
			multi = proto_bytes(&r, t);
		else if (field == 2)
			indices = proto_bytes(&r, t);
		else if (field == 3 && (has_count = true))
			vectors = proto_varint(&r, t);
		else
			proto_skip(&r, t);
		if (field >= 104 && field <= 106)
			message_later(d, INFERENCE);
	}
	if (r.err)
		message_bad_proto(d);
	if (d->err)
		return (struct vector){ 0 };
	if (sparse.data)
		return proto_read_sparse(d, sparse);
	if (multi.data)
		return proto_read_multi(d, multi);
	if (dense.data)
		return proto_read_dense(d, dense);
	struct vector flat = proto_read_dense(d, b); /* data=1 */
	if (has_count && !d->err)
		return cut_flat(d, flat, vectors);
	if (!indices.data || d->err)
		return flat;
	uint32_t index_count;
	uint32_t *items = proto_read_indices(d, indices, 1, &index_count);
	uint32_t value_count;
	float *values = proto_read_floats(d, b, 1, &value_count);
	return d->err ? flat : make_sparse(d, items, index_count, values, value_count);
}

static void put_packed_indices(struct buf *out, uint32_t field, const struct vector *v)
{
	size_t mark = proto_begin(out, field);
	for (uint32_t i = 0; i < v->count; i++) {
		uint32_t rest = v->indices[i];
		for (; rest >= 0x80; rest >>= 7)
			buf_append_byte(out, (uint8_t)(rest | 0x80));
		buf_append_byte(out, (uint8_t)rest);
	}
	proto_end(out, mark);
}

static void proto_put_multi(struct buf *out, uint32_t field, const struct vector *v)
{
	uint32_t dim = v->rows > 0 ? v->count / v->rows : 0;
	size_t mark = proto_begin(out, field);

	for (uint32_t i = 0; i < v->rows; i++) {
		size_t row = proto_begin(out, 1);
		proto_put_floats(out, 1, v->values + (size_t)i * dim, dim);
		proto_end(out, row);
	}
	proto_end(out, mark);
}

/* A message of DenseVector, SparseVector or MultiDenseVector in the field that it has in the oneof: the last stands behind the
 * second. */
static void proto_put_vector(struct buf *out, uint32_t dense_field, uint32_t sparse_field,
			     const struct vector *v)
{
	if (v->kind == VECTOR_MULTI) {
		proto_put_multi(out, sparse_field + 1, v);
		return;
	}
	size_t mark = proto_begin(out, v->kind == VECTOR_SPARSE ? sparse_field : dense_field);
	proto_put_floats(out, 1, v->values, v->count);
	if (v->kind == VECTOR_SPARSE)
		put_packed_indices(out, 2, v);
	proto_end(out, mark);
}

/* ---- vectors: of a point ---- */

/* Of two with the same name the last one counts. */
static void add_vector(struct message_reading *d, struct vector_list *list, struct str name,
		       struct vector v)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i].name.len == name.len &&
		    memcmp(list->items[i].name.data, name.data, name.len) == 0) {
			list->items[i].vector = v;
			return;
		}
	if (list->count == COLLECTION_VECTORS_MAX) {
		message_bad_input(d, "a point has more than %d vectors", COLLECTION_VECTORS_MAX);
		return;
	}
	list->items = message_grow(d, list->items, list->count, sizeof(*list->items));
	if (list->items)
		list->items[list->count++] = (struct named_vector){ .name = name, .vector = v };
}

static void vectors_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct vector_list *list = member;
	struct str key;

	*list = (struct vector_list){ 0 };
	if (json_peek(r) == JSON_ARRAY) {
		add_vector(d, list, STR(""), read_dense(d, r));
		return;
	}
	if (json_peek(r) != JSON_OBJECT) {
		json_fail(r, "expected a vector, or an object of named vectors");
		return;
	}
	if (!json_enter_object(r))
		return;
	while (!d->err && json_next_key(r, &key)) {
		bool infer = is_inference_key(key) && json_peek(r) != JSON_ARRAY &&
			     json_peek(r) != JSON_OBJECT;
		message_enter(d, key, -1);
		if (infer)
			message_later(d, INFERENCE);
		else
			add_vector(d, list, key, read_vector(d, r));
		message_leave(d);
	}
}

/* NamedVectors{vectors=1: map<string, Vector>} */
static void named_from_proto(struct message_reading *d, struct bytes b, struct vector_list *list)
{
	struct proto_reader r = proto_reader_of(b);
	enum proto_type t;
	uint32_t field;

	while (!d->err && proto_next(&r, &field, &t)) {
		if (field != 1) {
			proto_skip(&r, t);
			continue;
		}
		struct bytes entry = proto_bytes(&r, t);
		struct bytes name = proto_find(d, entry, 1);
		struct str key = { .data = name.data ? (const char *)name.data : "",
				   .len = name.len };
		struct proto_reader checked = proto_reader_of(entry);
		while (proto_next(&checked, &field, &t)) {
			if (field == 1)
				(void)proto_string(&checked, t); /* UTF-8? */
			else
				proto_skip(&checked, t);
		}
		if (r.err || checked.err)
			message_bad_proto(d);
		message_enter(d, key, -1);
		if (!d->err)
			add_vector(d, list, key, proto_read_vector(d, proto_find(d, entry, 2)));
		message_leave(d);
	}
	if (r.err)
		message_bad_proto(d);
}

/* Vectors{vector=1 | vectors=2} */
static void vectors_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct vector_list *list = member;
	uint32_t field;

	*list = (struct vector_list){ 0 };
	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1)
			add_vector(d, list, STR(""), proto_read_vector(d, proto_bytes(&in, t)));
		else if (field == 2)
			named_from_proto(d, proto_bytes(&in, t), list);
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
}

static bool is_unnamed(const struct vector_list *list)
{
	return list->count == 1 && list->items[0].name.len == 0;
}

static void vectors_to_json(const void *member, struct json_writer *w)
{
	const struct vector_list *list = member;

	if (is_unnamed(list) && list->items[0].vector.kind != VECTOR_SPARSE) {
		put_vector(&list->items[0].vector, w);
		return;
	}
	json_put_object(w);
	for (uint32_t i = 0; i < list->count; i++) {
		json_put_key(w, list->items[i].name);
		put_vector(&list->items[i].vector, w);
	}
	json_put_object_end(w);
}

static void vectors_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct vector_list *list = member;
	size_t mark = proto_begin(out, field);
	size_t inner = proto_begin(out, is_unnamed(list) ? 1 : 2);

	if (is_unnamed(list)) {
		proto_put_vector(out, 101, 102, &list->items[0].vector);
		proto_end(out, inner);
		proto_end(out, mark);
		return;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		size_t entry = proto_begin(out, 1);
		proto_put_bytes(out, 1, list->items[i].name.data, list->items[i].name.len);
		size_t value = proto_begin(out, 2);
		proto_put_vector(out, 101, 102, &list->items[i].vector);
		proto_end(out, value);
		proto_end(out, entry);
	}
	proto_end(out, inner);
	proto_end(out, mark);
}

/* Whoever wants a point without vectors says so by an empty map of them, as `{}` by REST. */
static void vectors_absent(struct message_reading *d, void *member UNUSED)
{
	message_bad_input(d, "Expected some vectors");
}

const struct message_custom kind_vectors = {
	.size = sizeof(struct vector_list),
	.absent = vectors_absent,
	.from_json = vectors_from_json,
	.from_proto = vectors_from_proto,
	.to_json = vectors_to_json,
	.to_proto = vectors_to_proto,
};

/* ---- points_batch: {"ids", "vectors", "payloads"}, columns instead of points ---- */

/* One vector of each point, all of one name. */
struct column {
	struct str name;
	struct vector *items;
	uint32_t count;
};

struct batch {
	struct point_id *ids;
	uint32_t id_count;
	struct column *columns;
	uint32_t column_count;
	struct value *payloads; /* data == NULL: none for that point */
	uint32_t payload_count;
	bool has_ids, has_vectors, has_payloads;
};

static void read_column(struct message_reading *d, struct json_reader *r, struct str name,
			struct batch *batch)
{
	struct column c = { .name = name };

	if (batch->column_count == COLLECTION_VECTORS_MAX) {
		message_bad_input(d, "a point has more than %d vectors", COLLECTION_VECTORS_MAX);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r)) {
		c.items = message_grow(d, c.items, c.count, sizeof(*c.items));
		if (c.items)
			c.items[c.count++] = read_vector(d, r);
	}
	batch->columns = message_grow(d, batch->columns, batch->column_count, sizeof(c));
	if (batch->columns)
		batch->columns[batch->column_count++] = c;
}

static void read_columns(struct message_reading *d, struct json_reader *r, struct batch *batch)
{
	struct str name;

	if (json_peek(r) == JSON_ARRAY) {
		read_column(d, r, STR(""), batch);
	} else if (json_enter_object(r)) {
		while (!d->err && json_next_key(r, &name))
			read_column(d, r, name, batch);
	}
	batch->has_vectors = true;
}

static void read_ids(struct message_reading *d, struct json_reader *r, struct batch *batch)
{
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r)) {
		batch->ids = message_grow(d, batch->ids, batch->id_count, sizeof(*batch->ids));
		if (batch->ids)
			batch->ids[batch->id_count++] = message_point_id_from_json(d, r);
	}
	batch->has_ids = true;
}

static void read_payloads(struct message_reading *d, struct json_reader *r, struct batch *batch)
{
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r)) {
		batch->payloads = message_grow(d, batch->payloads, batch->payload_count,
					       sizeof(*batch->payloads));
		if (!batch->payloads)
			return;
		if (json_peek(r) == JSON_NULL)
			json_null(r);
		else
			kind_payload.from_json(d, r, &batch->payloads[batch->payload_count]);
		batch->payload_count++;
	}
	batch->has_payloads = true;
}

static void check_batch(struct message_reading *d, struct json_reader *r, const struct batch *batch)
{
	if (!batch->has_ids || !batch->has_vectors) {
		json_fail(r, batch->has_ids ? "missing field `vectors`" : "missing field `ids`");
		return;
	}
	for (uint32_t i = 0; i < batch->column_count; i++)
		if (batch->columns[i].count != batch->id_count)
			message_invalid(d, "number of ids and vectors must be equal (%u != %u)",
					batch->id_count, batch->columns[i].count);
	if (batch->has_payloads && batch->payload_count != batch->id_count)
		message_invalid(d, "number of ids and payloads must be equal (%u != %u)",
				batch->id_count, batch->payload_count);
}

static void make_points(struct message_reading *d, const struct batch *batch,
			struct msg_point_list *out)
{
	struct msg_point *points = message_array(d, batch->id_count, sizeof(*points));
	if (!points)
		return;
	for (uint32_t i = 0; i < batch->id_count && !d->err; i++) {
		struct msg_point *p = &points[i];
		p->id = batch->ids[i];
		for (uint32_t c = 0; c < batch->column_count; c++)
			add_vector(d, &p->vector, batch->columns[c].name,
				   batch->columns[c].items[i]);
		p->has_payload = batch->has_payloads && batch->payloads[i].data;
		if (p->has_payload)
			p->payload = batch->payloads[i];
	}
	*out = (struct msg_point_list){ .items = points, .count = batch->id_count };
}

static void points_batch_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct batch batch = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!d->err && json_next_key(r, &key)) {
		if (is_word(key, "ids"))
			read_ids(d, r, &batch);
		else if (is_word(key, "vectors"))
			read_columns(d, r, &batch);
		else if (is_word(key, "payloads"))
			read_payloads(d, r, &batch);
		else
			json_skip(r);
	}
	if (!d->err && !json_failed(r))
		check_batch(d, r, &batch);
	if (!d->err && !json_failed(r))
		make_points(d, &batch, member);
}

/* Another way to give points: read only, and only in JSON. */
const struct message_custom kind_points_batch = {
	.size = sizeof(struct msg_point_list),
	.from_json = points_batch_from_json,
};

/* ---- for queries ---- */

struct vector message_vector_from_json(struct message_reading *d, struct json_reader *r)
{
	return read_vector(d, r);
}

void message_vector_to_json(const struct vector *v, struct json_writer *w)
{
	put_vector(v, w);
}

struct vector message_vector_from_proto(struct message_reading *d, struct bytes b)
{
	return proto_read_vector(d, b);
}

void message_vector_to_proto(const struct vector *v, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	proto_put_vector(out, 101, 102, v);
	proto_end(out, mark);
}

bool message_vector_input_from_proto(struct message_reading *d, uint32_t field, struct bytes b, struct vector *ret_vector)
{
	if (field < 2 || field > 7)
		return false;
	if (field == 2)
		*ret_vector = proto_read_dense(d, b);
	else if (field == 3)
		*ret_vector = proto_read_sparse(d, b);
	else if (field == 4)
		*ret_vector = proto_read_multi(d, b);
	else
		message_later(d, INFERENCE);
	return true;
}

void message_vector_input_to_proto(const struct vector *v, struct buf *out)
{
	proto_put_vector(out, 2, 3, v);
}

float *message_floats_from_proto(struct message_reading *d, struct bytes b, uint32_t field, uint32_t *ret_count)
{
	return proto_read_floats(d, b, field, ret_count);
}

/* ---- search_vector: of the older searches ---- */

/* Of a search, and of a search by groups. */
#define SEARCH_INDICES_FIELD 15
#define SEARCH_INDICES_FIELD_GROUPS 16

static void search_vector_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct search_vector *v = member;
	bool has_name = false, has_vector = false;
	struct str key;

	if (is_nested_array(*r)) {
		json_fail(r, "expected a vector: points/query takes multivectors");
		return;
	}
	if (json_peek(r) == JSON_ARRAY) {
		*v = (struct search_vector){ .vector = read_dense(d, r) };
		return;
	}
	if (!json_enter_object(r))
		return;
	while (!d->err && json_next_key(r, &key)) {
		if (is_word(key, "name")) {
			v->name = json_string(r);
			has_name = true;
		} else if (is_word(key, "vector")) {
			if (is_nested_array(*r))
				json_fail(r, "expected a vector: points/query takes multivectors");
			else
				v->vector = read_vector(d, r);
			has_vector = true;
		} else {
			json_skip(r);
		}
	}
	if (!d->err && (!has_name || !has_vector))
		json_fail(r, has_name ? "missing field `vector`" : "missing field `name`");
}

/* vector=2: floats, sparse_indices{data=1} */
static void search_vector_from_fields(struct message_reading *d, struct bytes parent, uint32_t field,
				      uint32_t indices_field, struct search_vector *v)
{
	struct bytes sparse = proto_find(d, parent, indices_field);
	uint32_t value_count = 0, index_count = 0;
	float *values = proto_read_floats(d, parent, field, &value_count);

	if (sparse.data && !d->err) {
		uint32_t *indices = proto_read_indices(d, sparse, 1, &index_count);
		if (!d->err)
			v->vector = make_sparse(d, indices, index_count, values, value_count);
		return;
	}
	v->vector = (struct vector){ .kind = VECTOR_DENSE, .count = value_count, .values = values };
}

static void search_vector_from_parent(struct message_reading *d, struct bytes parent,
				      uint32_t field, void *member)
{
	search_vector_from_fields(d, parent, field, SEARCH_INDICES_FIELD, member);
}

static void search_group_vector_from_parent(struct message_reading *d, struct bytes parent,
					    uint32_t field, void *member)
{
	search_vector_from_fields(d, parent, field, SEARCH_INDICES_FIELD_GROUPS, member);
}

static void search_vector_to_json(const void *member, struct json_writer *w)
{
	const struct search_vector *v = member;

	if (v->name.len == 0 && v->vector.kind == VECTOR_DENSE) {
		put_vector(&v->vector, w);
		return;
	}
	json_put_object(w);
	json_put_key(w, STR("name"));
	json_put_string(w, v->name);
	json_put_key(w, STR("vector"));
	put_vector(&v->vector, w);
	json_put_object_end(w);
}

static void search_vector_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct search_vector *v = member;

	proto_put_floats(out, field, v->vector.values, v->vector.count);
}

const struct message_custom kind_search_vector = {
	.size = sizeof(struct search_vector),
	.from_json = search_vector_from_json,
	.from_parent = search_vector_from_parent,
	.to_json = search_vector_to_json,
	.to_proto = search_vector_to_proto,
};

/* The same, but for the number of the indices. */
const struct message_custom kind_search_group_vector = {
	.size = sizeof(struct search_vector),
	.from_json = search_vector_from_json,
	.from_parent = search_group_vector_from_parent,
	.to_json = search_vector_to_json,
	.to_proto = search_vector_to_proto,
};

static void search_name_from_proto(struct message_reading *d, struct proto_reader *r,
				   enum proto_type t, void *member)
{
	(void)d; /* r has the error */
	((struct search_vector *)member)->name = proto_string(r, t);
}

static void search_name_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct search_vector *v = member;

	if (v->name.len > 0)
		proto_put_bytes(out, field, v->name.data, v->name.len);
}

const struct message_custom kind_search_vector_name = {
	.size = sizeof(struct search_vector),
	.from_proto = search_name_from_proto,
	.to_proto = search_name_to_proto,
};

static void search_indices_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct search_vector *v = member;

	if (v->vector.kind != VECTOR_SPARSE)
		return;
	size_t mark = proto_begin(out, field);
	put_packed_indices(out, 1, &v->vector);
	proto_end(out, mark);
}

/* Read together with the values, by search_vector. */
const struct message_custom kind_search_vector_indices = {
	.size = sizeof(struct search_vector),
	.to_proto = search_indices_to_proto,
};
