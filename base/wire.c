/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded reading and writing of binary formats.
 */
#include "base/wire.h"

#include <endian.h>
#include <string.h>

#define VARINT_BYTES_MAX 10

struct wire_reader wire_reader_of(const void *data, size_t len)
{
	/* An address for the empty view, so that no arithmetic is done on NULL. */
	static const uint8_t nothing;
	const uint8_t *p = data ? data : &nothing;

	return (struct wire_reader){ .p = p, .end = p + (data ? len : 0) };
}

size_t wire_left(const struct wire_reader *r)
{
	return (size_t)(r->end - r->p);
}

enum err wire_done(const struct wire_reader *r)
{
	if (r->err)
		return r->err;
	return r->p == r->end ? ERR_NONE : ERR_CORRUPT;
}

/* Nothing is left after an error, so that a loop over wire_left() ends. */
void wire_fail(struct wire_reader *r)
{
	r->err = ERR_CORRUPT;
	r->p = r->end;
}

/* Copies the next n bytes out; zeroes when there are fewer. */
static void take_into(struct wire_reader *r, void *ret, size_t n)
{
	if (wire_left(r) < n) {
		wire_fail(r);
		memset(ret, 0, n);
		return;
	}
	memcpy(ret, r->p, n);
	r->p += n;
}

uint8_t wire_u8(struct wire_reader *r)
{
	uint8_t v;
	take_into(r, &v, sizeof(v));
	return v;
}

uint16_t wire_u16(struct wire_reader *r)
{
	uint16_t v;
	take_into(r, &v, sizeof(v));
	return le16toh(v);
}

uint32_t wire_u32(struct wire_reader *r)
{
	uint32_t v;
	take_into(r, &v, sizeof(v));
	return le32toh(v);
}

uint64_t wire_u64(struct wire_reader *r)
{
	uint64_t v;
	take_into(r, &v, sizeof(v));
	return le64toh(v);
}

uint16_t wire_u16_be(struct wire_reader *r)
{
	uint16_t v;
	take_into(r, &v, sizeof(v));
	return be16toh(v);
}

uint32_t wire_u32_be(struct wire_reader *r)
{
	uint32_t v;
	take_into(r, &v, sizeof(v));
	return be32toh(v);
}

uint64_t wire_u64_be(struct wire_reader *r)
{
	uint64_t v;
	take_into(r, &v, sizeof(v));
	return be64toh(v);
}

double wire_f64(struct wire_reader *r)
{
	uint64_t bits = wire_u64(r);
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* Only the shortest form of a number is taken: one value, one encoding, so that bytes may be compared. */
uint64_t wire_varint(struct wire_reader *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < VARINT_BYTES_MAX && r->p < r->end; i++) {
		uint8_t byte = *r->p++;
		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7F) << (7 * i);
		if (byte & 0x80)
			continue;
		if (byte == 0 && i > 0)
			break;
		return v;
	}
	wire_fail(r);
	return 0;
}

struct bytes wire_take(struct wire_reader *r, size_t n)
{
	if (r->err || wire_left(r) < n) {
		wire_fail(r);
		return (struct bytes){ 0 };
	}
	struct bytes b = { .data = r->p, .len = n };
	r->p += n;
	return b;
}

struct bytes wire_bytes(struct wire_reader *r)
{
	uint64_t n = wire_varint(r);
	if (n > wire_left(r)) {
		wire_fail(r);
		return (struct bytes){ 0 };
	}
	return wire_take(r, (size_t)n);
}

struct str wire_str(struct wire_reader *r)
{
	struct bytes b = wire_bytes(r);
	return (struct str){ .data = (const char *)b.data, .len = b.len };
}

void wire_put_u8(struct buf *b, uint8_t v)
{
	buf_append_byte(b, v);
}

void wire_put_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_u16_be(struct buf *b, uint16_t v)
{
	v = htobe16(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_u32_be(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_u64_be(struct buf *b, uint64_t v)
{
	v = htobe64(v);
	buf_append(b, &v, sizeof(v));
}

void wire_put_f64(struct buf *b, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	wire_put_u64(b, bits);
}

void wire_put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	buf_append(b, bytes, n);
}

void wire_put_bytes(struct buf *b, const void *data, size_t len)
{
	wire_put_varint(b, len);
	buf_append(b, data, len);
}

void wire_put_str(struct buf *b, struct str s)
{
	wire_put_bytes(b, s.data, s.len);
}
