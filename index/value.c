/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload values and their canonical bytes; the encoding is described in value.h.
 * Recursion is as deep as a value, which is VALUE_DEPTH_MAX at most.
 */
#include "index/value.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "base/utf8.h"
#include "base/wire.h"

_Static_assert(JSON_DEPTH_MAX <= VALUE_DEPTH_MAX, "what the reader lets through is not too deep");

#define LENGTH_BYTES 4                /* of what follows, in a list or object */
#define HEAD_BYTES (1 + LENGTH_BYTES) /* tag and length */
#define VALUE_BYTES_MAX ((size_t)UINT32_MAX)

/* Shorter in length comes first when all common bytes are equal. */
static int compare_keys(struct str a, struct str b)
{
	size_t common = MIN(a.len, b.len);
	int order = common ? memcmp(a.data, b.data, common) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool check_one(struct wire_reader *r, unsigned depth);

static bool check_items(struct bytes body, bool object, unsigned depth)
{
	struct wire_reader r = wire_reader_of(body.data, body.len);
	uint64_t count = wire_varint(&r);
	struct str last = { 0 };

	for (uint64_t i = 0; i < count; i++) {
		if (object) {
			struct str key = wire_str(&r);
			if (r.err || !utf8_valid(key) || (i > 0 && compare_keys(last, key) >= 0))
				return false;
			last = key;
		}
		if (!check_one(&r, depth))
			return false;
	}
	return !wire_done(&r);
}

/* depth: how many lists and objects are around it. */
static bool check_one(struct wire_reader *r, unsigned depth)
{
	uint8_t tag = wire_u8(r);

	if (r->err)
		return false;
	switch (tag) {
	case VALUE_NULL:
	case VALUE_FALSE:
	case VALUE_TRUE:
		return true;
	case VALUE_INT:
		(void)wire_varint(r);
		return !r->err;
	case VALUE_UINT:
		return wire_varint(r) > INT64_MAX;
	case VALUE_DOUBLE:
		return isfinite(wire_f64(r)) && !r->err;
	case VALUE_STRING:
		return utf8_valid(wire_str(r)) && !r->err;
	case VALUE_LIST:
	case VALUE_OBJECT: {
		struct bytes body = wire_take(r, wire_u32(r));
		return !r->err && depth < VALUE_DEPTH_MAX &&
		       check_items(body, tag == VALUE_OBJECT, depth + 1);
	}
	default:
		return false;
	}
}

enum err value_check(struct bytes b, struct value *ret_value)
{
	if (b.len > VALUE_BYTES_MAX)
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(b.data, b.len);
	if (!check_one(&r, 0) || wire_done(&r))
		return ERR_CORRUPT;
	*ret_value = (struct value){ .data = b.data, .len = (uint32_t)b.len };
	return ERR_NONE;
}

/* From here on the bytes are trusted. */

static uint64_t take_varint(const uint8_t **p)
{
	uint64_t v = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = *(*p)++;
		v |= (uint64_t)(byte & 0x7F) << shift;
		shift += 7;
	} while (byte & 0x80);
	return v;
}

static uint32_t body_length(const uint8_t *head)
{
	uint32_t n;
	memcpy(&n, head + 1, sizeof(n));
	return le32toh(n);
}

/* The byte after the value at p. */
static const uint8_t *after_value(const uint8_t *p)
{
	const uint8_t *body = p + 1;

	switch ((enum value_kind) * p) {
	case VALUE_INT:
	case VALUE_UINT:
		(void)take_varint(&body);
		return body;
	case VALUE_DOUBLE:
		return body + sizeof(double);
	case VALUE_STRING: {
		uint64_t len = take_varint(&body);
		return body + len;
	}
	case VALUE_LIST:
	case VALUE_OBJECT:
		return p + HEAD_BYTES + body_length(p);
	case VALUE_NULL:
	case VALUE_FALSE:
	case VALUE_TRUE:
		return body;
	}
	PANIC("a value that was not checked");
}

enum value_kind value_kind(struct value v)
{
	ASSERT(v.data);
	return (enum value_kind)v.data[0];
}

int64_t value_int(struct value v)
{
	ASSERT(value_kind(v) == VALUE_INT);
	const uint8_t *p = v.data + 1;
	uint64_t zigzag = take_varint(&p);
	return (int64_t)(zigzag >> 1 ^ (0 - (zigzag & 1)));
}

uint64_t value_uint(struct value v)
{
	ASSERT(value_kind(v) == VALUE_UINT);
	const uint8_t *p = v.data + 1;
	return take_varint(&p);
}

double value_double(struct value v)
{
	ASSERT(value_kind(v) == VALUE_DOUBLE);
	struct wire_reader r = wire_reader_of(v.data + 1, sizeof(double));
	return wire_f64(&r);
}

bool value_number(struct value v, double *ret_number)
{
	switch (value_kind(v)) {
	case VALUE_INT:
		*ret_number = (double)value_int(v);
		return true;
	case VALUE_UINT:
		*ret_number = (double)value_uint(v);
		return true;
	case VALUE_DOUBLE:
		*ret_number = value_double(v);
		return true;
	case VALUE_NULL:
	case VALUE_FALSE:
	case VALUE_TRUE:
	case VALUE_STRING:
	case VALUE_LIST:
	case VALUE_OBJECT:
		break;
	}
	return false;
}

static struct str take_str(const uint8_t **p)
{
	uint64_t len = take_varint(p);
	struct str s = { .data = (const char *)*p, .len = (size_t)len };
	*p += len;
	return s;
}

struct str value_string(struct value v)
{
	ASSERT(value_kind(v) == VALUE_STRING);
	const uint8_t *p = v.data + 1;
	return take_str(&p);
}

static bool has_items(struct value v)
{
	return value_kind(v) == VALUE_LIST || value_kind(v) == VALUE_OBJECT;
}

uint32_t value_count(struct value v)
{
	ASSERT(has_items(v));
	const uint8_t *p = v.data + HEAD_BYTES;
	return (uint32_t)take_varint(&p);
}

struct value_iter value_items(struct value list_or_object)
{
	ASSERT(has_items(list_or_object));
	const uint8_t *p = list_or_object.data + HEAD_BYTES;
	(void)take_varint(&p);
	return (struct value_iter){
		.p = p,
		.end = list_or_object.data + list_or_object.len,
		.object = value_kind(list_or_object) == VALUE_OBJECT,
	};
}

bool value_next(struct value_iter *it, struct str *ret_key, struct value *ret_value)
{
	if (it->p == it->end)
		return false;
	struct str key = it->object ? take_str(&it->p) : (struct str){ 0 };
	const uint8_t *start = it->p;
	it->p = after_value(start);
	if (ret_key)
		*ret_key = key;
	*ret_value = (struct value){ .data = start, .len = (uint32_t)(it->p - start) };
	return true;
}

bool value_get(struct value object, struct str key, struct value *ret_value)
{
	if (!object.data || value_kind(object) != VALUE_OBJECT)
		return false;
	struct value_iter it = value_items(object);
	struct value value;
	struct str found;
	while (value_next(&it, &found, &value)) {
		int order = compare_keys(found, key);
		if (order > 0)
			break;
		if (order < 0)
			continue;
		*ret_value = value;
		return true;
	}
	return false;
}

/* Lists and objects inside each other; 0 for all else. */
static unsigned value_depth(struct value v)
{
	if (!has_items(v))
		return 0;
	unsigned deepest = 0;
	struct value_iter it = value_items(v);
	struct value item;
	while (value_next(&it, NULL, &item)) {
		unsigned depth = value_depth(item);
		deepest = MAX(deepest, depth);
	}
	return deepest + 1;
}

static void put_varint_value(struct buf *out, enum value_kind kind, uint64_t v)
{
	wire_put_u8(out, (uint8_t)kind);
	wire_put_varint(out, v);
}

void value_put_null(struct buf *out)
{
	wire_put_u8(out, VALUE_NULL);
}

void value_put_bool(struct buf *out, bool v)
{
	wire_put_u8(out, v ? VALUE_TRUE : VALUE_FALSE);
}

void value_put_int(struct buf *out, int64_t v)
{
	put_varint_value(out, VALUE_INT, (uint64_t)v << 1 ^ (0 - (uint64_t)(v < 0)));
}

void value_put_uint(struct buf *out, uint64_t v)
{
	if (v <= INT64_MAX)
		value_put_int(out, (int64_t)v);
	else
		put_varint_value(out, VALUE_UINT, v);
}

void value_put_double(struct buf *out, double v)
{
	if (!isfinite(v)) {
		value_put_null(out);
		return;
	}
	wire_put_u8(out, VALUE_DOUBLE);
	wire_put_f64(out, v);
}

void value_put_string(struct buf *out, struct str s)
{
	/* The tag and the length are to fit as well. */
	if (s.len > VALUE_BYTES_MAX - HEAD_BYTES - 1) {
		out->err = ERR_TOO_LARGE;
		return;
	}
	wire_put_u8(out, VALUE_STRING);
	wire_put_str(out, s);
}

struct value value_of_buf(const struct buf *b)
{
	if (buf_err(b) || b->len == 0)
		return (struct value){ 0 };
	ASSERT(b->len <= VALUE_BYTES_MAX);
	return (struct value){ .data = b->data, .len = (uint32_t)b->len };
}

/* The head of a list or object whose items are to follow. One byte is kept for their count. Returns where it
 * starts. */
static size_t open_items(struct buf *out, enum value_kind kind)
{
	size_t start = out->len;

	wire_put_u8(out, (uint8_t)kind);
	wire_put_u32(out, 0);
	wire_put_u8(out, 0);
	return start;
}

/* Writes count and length where they belong. */
static void close_items(struct buf *out, size_t start, uint32_t count)
{
	size_t extra = 0; /* bytes of the count beyond the one that was kept */
	for (uint32_t rest = count; rest >= 0x80; rest >>= 7)
		extra++;
	if (buf_err(out) || !buf_reserve(out, extra))
		return;
	buf_commit(out, extra);
	size_t len = out->len - start;
	if (len > VALUE_BYTES_MAX) {
		out->err = ERR_TOO_LARGE;
		return;
	}

	uint8_t *p = out->data + start;
	memmove(p + HEAD_BYTES + 1 + extra, p + HEAD_BYTES + 1, len - HEAD_BYTES - 1 - extra);
	uint32_t body = htole32((uint32_t)(len - HEAD_BYTES));
	memcpy(p + 1, &body, sizeof(body));
	p += HEAD_BYTES;
	for (; count >= 0x80; count >>= 7)
		*p++ = (uint8_t)(count | 0x80);
	*p = (uint8_t)count;
}

static bool is_sorted(const struct value_member *members, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		if (compare_keys(members[i - 1].key, members[i].key) >= 0)
			return false;
	}
	return true;
}

/* One round of merging runs of width items. Stable: equal keys keep their order. */
static void merge_runs(const struct value_member *from, struct value_member *to, size_t count,
		       size_t width)
{
	for (size_t start = 0; start < count; start += 2 * width) {
		size_t a = start, a_end = MIN(start + width, count);
		size_t b = a_end, b_end = MIN(start + 2 * width, count);
		for (size_t i = start; i < b_end; i++) {
			bool take_a = a < a_end &&
				      (b == b_end || compare_keys(from[a].key, from[b].key) <= 0);
			to[i] = from[take_a ? a++ : b++];
		}
	}
}

/* Of members with one key the last stays. Returns how many stay. */
static uint32_t drop_replaced(struct value_member *members, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (kept > 0 && compare_keys(members[kept - 1].key, members[i].key) == 0)
			kept--;
		members[kept++] = members[i];
	}
	return kept;
}

/* Merge sort: qsort() need not be stable. spare is room for count members. */
static uint32_t sort_members(struct value_member *members, struct value_member *spare,
			     uint32_t count)
{
	struct value_member *from = members, *to = spare;

	for (size_t width = 1; width < count; width *= 2) {
		merge_runs(from, to, count, width);
		struct value_member *sorted = to;
		to = from;
		from = sorted;
	}
	if (from != members)
		memcpy(members, from, count * sizeof(*members));
	return drop_replaced(members, count);
}

static void put_members(struct buf *out, const struct value_member *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		wire_put_str(out, members[i].key);
		buf_append(out, members[i].value.data, members[i].value.len);
	}
}

enum err value_put_object(struct buf *out, struct value_member *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (value_depth(members[i].value) >= VALUE_DEPTH_MAX)
			return ERR_BAD_INPUT;
	}
	if (!is_sorted(members, count)) {
		struct value_member *spare = calloc(count, sizeof(*spare));
		if (!spare)
			return ERR_NO_MEMORY;
		count = sort_members(members, spare, count);
		free(spare);
	}
	size_t start = open_items(out, VALUE_OBJECT);
	put_members(out, members, count);
	close_items(out, start, count);
	return buf_err(out);
}

enum err value_put_list(struct buf *out, const struct value *items, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (value_depth(items[i]) >= VALUE_DEPTH_MAX)
			return ERR_BAD_INPUT;
	}
	size_t start = open_items(out, VALUE_LIST);
	for (uint32_t i = 0; i < count; i++)
		buf_append(out, items[i].data, items[i].len);
	close_items(out, start, count);
	return buf_err(out);
}

/* From JSON. Members are encoded in the order of the text; an object that turns out to be unsorted is copied
 * aside at its end and written again in order. The memory for that is kept for the next such object. */
struct encoder {
	struct json_reader *r;
	struct buf *out;
	struct arena *scratch;
	uint8_t *copy;
	size_t copy_cap;
	struct value_member *members; /* and as many again to sort them */
	size_t members_cap;
	bool scratch_full;
};

static bool encoder_failed(const struct encoder *e)
{
	return e->scratch_full || json_failed(e->r) || buf_err(e->out);
}

static bool reserve_scratch(struct encoder *e, size_t bytes, size_t count)
{
	if (bytes > e->copy_cap) {
		e->copy_cap = MAX(bytes, 2 * e->copy_cap);
		e->copy = arena_alloc(e->scratch, e->copy_cap);
	}
	if (count > e->members_cap) {
		e->members_cap = MAX(count, 2 * e->members_cap);
		e->members = arena_array(e->scratch, e->members_cap, 2 * sizeof(*e->members));
	}
	e->scratch_full = !e->copy || !e->members;
	return !e->scratch_full;
}

/* Writes the members from byte at on again, sorted. Returns how many there are then. */
static uint32_t rewrite_sorted(struct encoder *e, size_t at, uint32_t count)
{
	size_t bytes = e->out->len - at;
	if (!reserve_scratch(e, bytes, count))
		return 0;
	memcpy(e->copy, e->out->data + at, bytes);
	struct value_iter it = { .p = e->copy, .end = e->copy + bytes, .object = true };
	for (uint32_t i = 0; i < count; i++)
		ASSERT(value_next(&it, &e->members[i].key, &e->members[i].value));
	count = sort_members(e->members, e->members + count, count);
	e->out->len = at;
	put_members(e->out, e->members, count);
	return count;
}

static void encode_value(struct encoder *e);

static void encode_object(struct encoder *e)
{
	size_t start = open_items(e->out, VALUE_OBJECT);
	struct str key, last = { 0 };
	uint32_t count = 0;
	bool sorted = true;

	if (!json_enter_object(e->r))
		return;
	while (json_next_key(e->r, &key)) {
		sorted = sorted && (count == 0 || compare_keys(last, key) < 0);
		last = key;
		wire_put_str(e->out, key);
		encode_value(e);
		if (encoder_failed(e))
			return;
		count++;
	}
	if (encoder_failed(e))
		return;
	if (!sorted)
		count = rewrite_sorted(e, start + HEAD_BYTES + 1, count);
	close_items(e->out, start, count);
}

static void encode_list(struct encoder *e)
{
	size_t start = open_items(e->out, VALUE_LIST);
	uint32_t count = 0;

	if (!json_enter_array(e->r))
		return;
	while (json_next_element(e->r)) {
		encode_value(e);
		if (encoder_failed(e))
			return;
		count++;
	}
	close_items(e->out, start, count);
}

static void encode_number(struct encoder *e)
{
	struct json_number n = json_number(e->r);

	switch (n.kind) {
	case JSON_INT:
		value_put_int(e->out, n.i);
		break;
	case JSON_UINT:
		value_put_uint(e->out, n.u);
		break;
	case JSON_DOUBLE:
		value_put_double(e->out, n.d);
		break;
	}
}

static void encode_value(struct encoder *e)
{
	switch (json_peek(e->r)) {
	case JSON_NULL:
		json_null(e->r);
		value_put_null(e->out);
		break;
	case JSON_BOOL:
		value_put_bool(e->out, json_bool(e->r));
		break;
	case JSON_NUMBER:
		encode_number(e);
		break;
	case JSON_STRING:
		value_put_string(e->out, json_string(e->r));
		break;
	case JSON_ARRAY:
		encode_list(e);
		break;
	case JSON_OBJECT:
		encode_object(e);
		break;
	case JSON_END:
	case JSON_BAD:
		json_fail(e->r, "expected a value");
		break;
	}
}

enum err value_from_json(struct json_reader *r, struct arena *scratch, struct buf *out)
{
	struct encoder e = { .r = r, .out = out, .scratch = scratch };
	size_t start = out->len;

	encode_value(&e);
	if (!encoder_failed(&e) && out->len - start > VALUE_BYTES_MAX)
		out->err = ERR_TOO_LARGE;
	if (!encoder_failed(&e))
		return ERR_NONE;
	out->len = start;
	if (json_failed(r))
		return ERR_BAD_REQUEST;
	return e.scratch_full ? ERR_TOO_LARGE : buf_err(out);
}

void value_to_json(struct value v, struct json_writer *w)
{
	struct value_iter it;
	struct value item;
	struct str key;

	switch (value_kind(v)) {
	case VALUE_NULL:
		json_put_null(w);
		break;
	case VALUE_FALSE:
	case VALUE_TRUE:
		json_put_bool(w, value_kind(v) == VALUE_TRUE);
		break;
	case VALUE_INT:
		json_put_i64(w, value_int(v));
		break;
	case VALUE_UINT:
		json_put_u64(w, value_uint(v));
		break;
	case VALUE_DOUBLE:
		json_put_f64(w, value_double(v));
		break;
	case VALUE_STRING:
		json_put_string(w, value_string(v));
		break;
	case VALUE_LIST:
		json_put_array(w);
		it = value_items(v);
		while (value_next(&it, NULL, &item))
			value_to_json(item, w);
		json_put_array_end(w);
		break;
	case VALUE_OBJECT:
		json_put_object(w);
		it = value_items(v);
		while (value_next(&it, &key, &item)) {
			json_put_key(w, key);
			value_to_json(item, w);
		}
		json_put_object_end(w);
		break;
	}
}

/* Qdrant wants letters and digits of any script; what is not ASCII is not told apart here. */
static bool is_key_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || (c & 0x80);
}

/* A key, bare or in quotes (inside which there are neither quotes nor backslashes). */
static bool take_key(const char **p, const char *end, struct path_step *ret_step)
{
	bool quoted = *p < end && **p == '"';
	const char *start = *p + quoted;
	const char *q = start;

	while (q < end && (quoted ? *q != '"' && *q != '\\' : is_key_byte(*q)))
		q++;
	if (quoted ? q == end || *q != '"' : q == start)
		return false;
	*ret_step = (struct path_step){
		.kind = PATH_KEY,
		.key = { .data = start, .len = (size_t)(q - start) },
	};
	*p = q + quoted;
	return true;
}

/* *p stands behind the opening bracket. */
static bool take_index(const char **p, const char *end, struct path_step *ret_step)
{
	const char *start = *p;
	const char *q = start;
	uint64_t index = 0;

	for (; q < end && *q >= '0' && *q <= '9' && index <= UINT32_MAX; q++)
		index = index * 10 + (unsigned)(*q - '0');
	if (q == end || *q != ']' || index > UINT32_MAX)
		return false;
	*ret_step = (struct path_step){
		.kind = q == start ? PATH_ALL : PATH_INDEX,
		.index = (uint32_t)index,
	};
	*p = q + 1;
	return true;
}

static bool take_step(const char **p, const char *end, struct path_step *ret_step)
{
	switch (*(*p)++) {
	case '.':
		return take_key(p, end, ret_step);
	case '[':
		return take_index(p, end, ret_step);
	default:
		return false;
	}
}

enum err path_parse(struct str text, struct path *ret_path, struct fault *reterr_fault)
{
	struct path path = { .text = text, .count = 1 };
	const char *p = text.data ? text.data : "";
	const char *end = p + text.len;
	bool good = take_key(&p, end, &path.steps[0]);

	while (good && p < end) {
		if (path.count == PATH_STEPS_MAX)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "payload path `%.*s` has more than %d steps",
					 STR_FMT(text), PATH_STEPS_MAX);
		good = take_step(&p, end, &path.steps[path.count++]);
	}
	if (!good)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "`%.*s` is not a payload path",
				 STR_FMT(text));
	*ret_path = path;
	return ERR_NONE;
}

struct walk {
	const struct path *path;
	bool (*fn)(void *ctx, struct value found);
	void *ctx;
};

static bool walk_from(const struct walk *w, uint32_t at, struct value v)
{
	if (at == w->path->count)
		return w->fn(w->ctx, v);
	const struct path_step *step = &w->path->steps[at];
	struct value item;
	if (step->kind == PATH_KEY)
		return value_get(v, step->key, &item) && walk_from(w, at + 1, item);
	if (value_kind(v) != VALUE_LIST)
		return false;
	struct value_iter it = value_items(v);
	for (uint32_t i = 0; value_next(&it, NULL, &item); i++) {
		if (step->kind == PATH_INDEX && i < step->index)
			continue;
		if (walk_from(w, at + 1, item))
			return true;
		if (step->kind == PATH_INDEX)
			break;
	}
	return false;
}

bool path_walk(const struct path *p, struct value root, bool (*fn)(void *ctx, struct value found),
	       void *ctx)
{
	const struct walk w = { .path = p, .fn = fn, .ctx = ctx };

	return root.data && walk_from(&w, 0, root);
}
