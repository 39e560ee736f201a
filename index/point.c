/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Point ids and vectors.
 *
 * Id      kind byte (point_id_kind), then 8 (number) or 16 (UUID) bytes, big-endian
 * Vector  kind byte (vector_kind), then
 *         dense   varint count, the values
 *         sparse  varint count, the indices, the values
 *         multi   varint rows, varint count, the values
 */
#include "index/point.h"

#include <endian.h>
#include <string.h>

#include "base/decimal.h"
#include "base/hash.h"
#include "base/panic.h"

#define UUID_BYTES 16
#define UUID_HYPHENATED 36 /* characters */
#define UUID_SIMPLE 32
#define ID_BYTES_MAX (1 + UUID_BYTES)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vectors are written and hashed as they lie in memory, which is to be little-endian"
#endif

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int point_id_compare(struct point_id a, struct point_id b)
{
	if (a.kind != b.kind)
		return a.kind < b.kind ? -1 : 1;
	if (a.kind == POINT_ID_UUID && a.hi != b.hi)
		return compare_u64(a.hi, b.hi);
	return compare_u64(a.lo, b.lo);
}

bool point_id_equal(struct point_id a, struct point_id b)
{
	return point_id_compare(a, b) == 0;
}

static void put_be64(uint8_t *out, uint64_t v)
{
	v = htobe64(v);
	memcpy(out, &v, sizeof(v));
}

static size_t encode_id(struct point_id id, uint8_t out[ID_BYTES_MAX])
{
	out[0] = id.kind;
	if (id.kind == POINT_ID_NUM) {
		put_be64(out + 1, id.lo);
		return 1 + sizeof(id.lo);
	}
	ASSERT(id.kind == POINT_ID_UUID);
	put_be64(out + 1, id.hi);
	put_be64(out + 1 + sizeof(id.hi), id.lo);
	return ID_BYTES_MAX;
}

uint64_t point_id_hash(struct point_id id)
{
	uint8_t bytes[ID_BYTES_MAX];
	return hash64(bytes, encode_id(id, bytes), 0);
}

/* -1 when it is no hexadecimal digit. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_hyphen_place(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

/* Takes the frame off: urn:uuid: before, or braces around, the hyphenated form. */
static struct str bare_uuid(struct str s)
{
	static const char urn[] = "urn:uuid:";
	const size_t urn_len = sizeof(urn) - 1;

	if (s.len == UUID_HYPHENATED + urn_len && memcmp(s.data, urn, urn_len) == 0)
		return (struct str){ .data = s.data + urn_len, .len = UUID_HYPHENATED };
	if (s.len == UUID_HYPHENATED + 2 && s.data[0] == '{' && s.data[s.len - 1] == '}')
		return (struct str){ .data = s.data + 1, .len = UUID_HYPHENATED };
	return s;
}

enum err point_id_parse_uuid(struct str text, struct point_id *ret_id)
{
	struct str s = bare_uuid(text);
	if (s.len != UUID_HYPHENATED && s.len != UUID_SIMPLE)
		return ERR_BAD_INPUT;

	struct point_id id = { .kind = POINT_ID_UUID };
	for (size_t i = 0; i < s.len; i++) {
		if (s.len == UUID_HYPHENATED && is_hyphen_place(i)) {
			if (s.data[i] != '-')
				return ERR_BAD_INPUT;
			continue;
		}
		int digit = hex_value(s.data[i]);
		if (digit < 0)
			return ERR_BAD_INPUT;
		id.hi = id.hi << 4 | id.lo >> 60;
		id.lo = id.lo << 4 | (unsigned)digit;
	}
	*ret_id = id;
	return ERR_NONE;
}

size_t point_id_format(struct point_id id, char out[POINT_ID_TEXT_MAX])
{
	size_t n = 0;

	if (id.kind == POINT_ID_NUM) {
		n = decimal_format_u64(id.lo, out);
		out[n] = '\0';
		return n;
	}
	ASSERT(id.kind == POINT_ID_UUID);
	for (unsigned digit = 0; digit < UUID_SIMPLE; digit++) {
		uint64_t half = digit < UUID_SIMPLE / 2 ? id.hi : id.lo;
		if (is_hyphen_place(n))
			out[n++] = '-';
		out[n++] = "0123456789abcdef"[half >> (60 - 4 * (digit % 16)) & 15];
	}
	out[n] = '\0';
	return n;
}

void point_id_put(struct buf *b, struct point_id id)
{
	uint8_t bytes[ID_BYTES_MAX];
	buf_append(b, bytes, encode_id(id, bytes));
}

struct point_id point_id_get(struct wire_reader *r)
{
	struct point_id id = { .kind = wire_u8(r) };

	if (id.kind > POINT_ID_UUID)
		wire_fail(r);
	if (id.kind == POINT_ID_UUID)
		id.hi = wire_u64_be(r);
	id.lo = wire_u64_be(r);
	return r->err ? (struct point_id){ 0 } : id;
}

/* As bits: what is equal here has the same bytes on every disk, and the same hash. */
bool vector_equal(const struct vector *a, const struct vector *b)
{
	if (a->kind != b->kind || a->count != b->count)
		return false;
	if (a->kind == VECTOR_MULTI && a->rows != b->rows)
		return false;
	if (a->count == 0)
		return true;
	if (a->kind == VECTOR_SPARSE &&
	    memcmp(a->indices, b->indices, a->count * sizeof(*a->indices)) != 0)
		return false;
	return memcmp(a->values, b->values, a->count * sizeof(*a->values)) == 0;
}

/* The hash of the values, seeded with that of what stands before them. */
uint64_t vector_hash(const struct vector *v)
{
	const uint32_t head[] = { v->kind, v->kind == VECTOR_MULTI ? v->rows : 0, v->count };
	uint64_t hash = hash64(head, sizeof(head), 0);

	if (v->kind == VECTOR_SPARSE)
		hash = hash64(v->indices, v->count * sizeof(*v->indices), hash);
	return hash64(v->values, v->count * sizeof(*v->values), hash);
}

void vector_put(struct buf *b, const struct vector *v)
{
	wire_put_u8(b, (uint8_t)v->kind);
	if (v->kind == VECTOR_MULTI)
		wire_put_varint(b, v->rows);
	wire_put_varint(b, v->count);
	if (v->kind == VECTOR_SPARSE)
		buf_append(b, v->indices, v->count * sizeof(*v->indices));
	buf_append(b, v->values, v->count * sizeof(*v->values));
}

static uint32_t get_count(struct wire_reader *r)
{
	uint64_t count = wire_varint(r);

	if (count > UINT32_MAX) {
		wire_fail(r);
		return 0;
	}
	return (uint32_t)count;
}

static bool is_ascending(const uint32_t *indices, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		if (indices[i - 1] >= indices[i])
			return false;
	}
	return true;
}

/* A multivector has rows of one length, at least one row, and none is empty; or nothing at all. */
static bool is_rectangle(const struct vector *v)
{
	return v->rows == 0 ? v->count == 0 : v->count > 0 && v->count % v->rows == 0;
}

/* An aligned copy of the next n bytes; NULL on error, which is the reader's or ERR_NO_MEMORY. */
static void *copy_bytes(struct wire_reader *r, struct arena *a, size_t n, enum err *reterr)
{
	struct bytes from = wire_take(r, n);
	void *copy = r->err ? NULL : arena_alloc(a, n);

	if (!copy)
		*reterr = r->err ? r->err : ERR_NO_MEMORY;
	else if (n > 0)
		memcpy(copy, from.data, n);
	return copy;
}

enum err vector_get(struct wire_reader *r, struct arena *a, struct vector *ret_vector)
{
	uint8_t kind = wire_u8(r);
	if (kind > VECTOR_MULTI)
		wire_fail(r);
	struct vector v = { .kind = (enum vector_kind)kind };
	if (v.kind == VECTOR_MULTI)
		v.rows = get_count(r);
	v.count = get_count(r);
	if (r->err)
		return r->err;

	enum err err = ERR_NONE;
	if (v.kind == VECTOR_SPARSE) {
		v.indices = copy_bytes(r, a, v.count * sizeof(*v.indices), &err);
		if (err)
			return err;
	}
	v.values = copy_bytes(r, a, v.count * sizeof(*v.values), &err);
	if (err)
		return err;
	bool good = v.kind == VECTOR_SPARSE  ? is_ascending(v.indices, v.count)
		    : v.kind == VECTOR_MULTI ? is_rectangle(&v)
					     : true;
	if (!good) {
		wire_fail(r);
		return r->err;
	}
	*ret_vector = v;
	return ERR_NONE;
}
