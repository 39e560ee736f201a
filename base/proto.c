/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers' wire format.
 */
#include "base/proto.h"

#include <endian.h>
#include <string.h>

#include "base/utf8.h"

#define VARINT_BYTES_MAX 10
#define FIELD_MAX ((1U << 29) - 1)

struct proto_reader proto_reader_of(struct bytes b)
{
	/* An address for the empty message, so that no arithmetic is done on NULL. */
	static const uint8_t nothing;
	const uint8_t *p = b.data ? b.data : &nothing;

	return (struct proto_reader){ .p = p, .end = p + (b.data ? b.len : 0) };
}

/* Nothing is left after an error, so that a loop over proto_next() ends. */
static void fail(struct proto_reader *r)
{
	r->err = ERR_BAD_REQUEST;
	r->p = r->end;
}

static size_t left(const struct proto_reader *r)
{
	return (size_t)(r->end - r->p);
}

/* Longer forms than needed are allowed, more than 64 bits are not. */
static uint64_t read_varint(struct proto_reader *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < VARINT_BYTES_MAX && r->p < r->end; i++) {
		uint8_t byte = *r->p++;
		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7F) << (7 * i);
		if (!(byte & 0x80))
			return v;
	}
	fail(r);
	return 0;
}

/* n bytes; zeroes on error. */
static void read_fixed(struct proto_reader *r, void *ret, size_t n)
{
	if (left(r) < n) {
		fail(r);
		memset(ret, 0, n);
		return;
	}
	memcpy(ret, r->p, n);
	r->p += n;
}

static bool is_type(struct proto_reader *r, enum proto_type got, enum proto_type wanted)
{
	if (got != wanted)
		fail(r);
	return !r->err;
}

bool proto_next(struct proto_reader *r, uint32_t *ret_field, enum proto_type *ret_type)
{
	if (r->err || r->p == r->end)
		return false;
	uint64_t tag = read_varint(r);
	uint64_t field = tag >> 3;
	unsigned type = tag & 7;
	bool known = type == PROTO_VARINT || type == PROTO_FIXED64 || type == PROTO_LENGTH ||
		     type == PROTO_FIXED32;
	if (r->err || field == 0 || field > FIELD_MAX || !known) {
		fail(r);
		return false;
	}
	*ret_field = (uint32_t)field;
	*ret_type = (enum proto_type)type;
	return true;
}

uint64_t proto_varint(struct proto_reader *r, enum proto_type t)
{
	return is_type(r, t, PROTO_VARINT) ? read_varint(r) : 0;
}

int64_t proto_int64(struct proto_reader *r, enum proto_type t)
{
	return (int64_t)proto_varint(r, t);
}

double proto_double(struct proto_reader *r, enum proto_type t)
{
	uint64_t bits = 0;
	double v;

	if (is_type(r, t, PROTO_FIXED64))
		read_fixed(r, &bits, sizeof(bits));
	bits = le64toh(bits);
	memcpy(&v, &bits, sizeof(v));
	return v;
}

float proto_float(struct proto_reader *r, enum proto_type t)
{
	uint32_t bits = 0;
	float v;

	if (is_type(r, t, PROTO_FIXED32))
		read_fixed(r, &bits, sizeof(bits));
	bits = le32toh(bits);
	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct bytes proto_bytes(struct proto_reader *r, enum proto_type t)
{
	if (!is_type(r, t, PROTO_LENGTH))
		return (struct bytes){ 0 };
	uint64_t len = read_varint(r);
	if (len > left(r))
		fail(r);
	if (r->err)
		return (struct bytes){ 0 };
	struct bytes b = { .data = r->p, .len = (size_t)len };
	r->p += len;
	return b;
}

struct str proto_string(struct proto_reader *r, enum proto_type t)
{
	struct bytes b = proto_bytes(r, t);
	struct str s = { .data = (const char *)b.data, .len = b.len };

	if (utf8_valid(s))
		return s;
	fail(r);
	return (struct str){ 0 };
}

void proto_skip(struct proto_reader *r, enum proto_type t)
{
	uint64_t ignored;

	switch (t) {
	case PROTO_VARINT:
		(void)proto_varint(r, t);
		return;
	case PROTO_FIXED64:
		read_fixed(r, &ignored, sizeof(uint64_t));
		return;
	case PROTO_LENGTH:
		(void)proto_bytes(r, t);
		return;
	case PROTO_FIXED32:
		read_fixed(r, &ignored, sizeof(uint32_t));
		return;
	}
	fail(r);
}

static size_t encode_varint(uint64_t v, uint8_t out[VARINT_BYTES_MAX])
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

static void put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	buf_append(b, bytes, encode_varint(v, bytes));
}

static void put_tag(struct buf *b, uint32_t field, enum proto_type t)
{
	put_varint(b, (uint64_t)field << 3 | t);
}

void proto_put_varint(struct buf *b, uint32_t field, uint64_t v)
{
	put_tag(b, field, PROTO_VARINT);
	put_varint(b, v);
}

void proto_put_double(struct buf *b, uint32_t field, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	bits = htole64(bits);
	put_tag(b, field, PROTO_FIXED64);
	buf_append(b, &bits, sizeof(bits));
}

static void put_float_bits(struct buf *b, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	bits = htole32(bits);
	buf_append(b, &bits, sizeof(bits));
}

void proto_put_float(struct buf *b, uint32_t field, float v)
{
	put_tag(b, field, PROTO_FIXED32);
	put_float_bits(b, v);
}

void proto_put_bytes(struct buf *b, uint32_t field, const void *data, size_t len)
{
	put_tag(b, field, PROTO_LENGTH);
	put_varint(b, len);
	buf_append(b, data, len);
}

void proto_put_floats(struct buf *b, uint32_t field, const float *v, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	proto_put_bytes(b, field, v, n * sizeof(*v));
#else
	put_tag(b, field, PROTO_LENGTH);
	put_varint(b, n * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		put_float_bits(b, v[i]);
#endif
}

/* One byte is kept for the length, which is enough for most messages; proto_end() makes room for more. */
size_t proto_begin(struct buf *b, uint32_t field)
{
	put_tag(b, field, PROTO_LENGTH);
	buf_append_byte(b, 0);
	return b->len;
}

void proto_end(struct buf *b, size_t mark)
{
	uint8_t length[VARINT_BYTES_MAX];

	if (b->err)
		return;
	size_t len = b->len - mark;
	size_t n = encode_varint(len, length);
	if (!buf_reserve(b, n - 1))
		return;
	memmove(b->data + mark + n - 1, b->data + mark, len);
	memcpy(b->data + mark - 1, length, n);
	buf_commit(b, n - 1);
}
