/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded reading and writing of binary formats, with a sticky error: read ten fields, test once.
 * After an error every read returns zero or an empty view. Integers are little-endian; keys that must
 * sort (LMDB) use the _be forms. All disk and stream formats use this and base/proto.h, nothing else.
 */
#pragma once

#include "base/buf.h"

struct wire_reader {
	const uint8_t *p;
	const uint8_t *end;
	enum err err;  /* ERR_CORRUPT once something did not fit */
};

struct wire_reader wire_reader_of(const void *data, size_t len);
size_t wire_left(const struct wire_reader *r);
/* ERR_CORRUPT also when bytes are left over. */
MUST_USE enum err wire_done(const struct wire_reader *r);
void wire_fail(struct wire_reader *r);

uint8_t wire_u8(struct wire_reader *r);
uint16_t wire_u16(struct wire_reader *r);
uint32_t wire_u32(struct wire_reader *r);
uint64_t wire_u64(struct wire_reader *r);
uint16_t wire_u16_be(struct wire_reader *r);
uint32_t wire_u32_be(struct wire_reader *r);
uint64_t wire_u64_be(struct wire_reader *r);
double wire_f64(struct wire_reader *r);
/* LEB128, at most 10 bytes; the shortest form only. */
uint64_t wire_varint(struct wire_reader *r);
struct bytes wire_take(struct wire_reader *r, size_t n);
/* A varint length, then so many bytes. */
struct bytes wire_bytes(struct wire_reader *r);
struct str wire_str(struct wire_reader *r);

/* Writing appends to a buf; the buf carries the error. */
void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_u16_be(struct buf *b, uint16_t v);
void wire_put_u32_be(struct buf *b, uint32_t v);
void wire_put_u64_be(struct buf *b, uint64_t v);
void wire_put_f64(struct buf *b, double v);
void wire_put_varint(struct buf *b, uint64_t v);
void wire_put_bytes(struct buf *b, const void *data, size_t len);
void wire_put_str(struct buf *b, struct str s);
