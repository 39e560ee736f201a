/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers' wire format: tags, varints, lengths; nothing of messages.
 * https://protobuf.dev/programming-guides/encoding/
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

enum proto_type { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_LENGTH = 2, PROTO_FIXED32 = 5 };

#define PROTO_DEPTH_MAX 64

struct proto_reader {
	const uint8_t *p, *end;
	enum err err;   /* sticky: ERR_BAD_REQUEST */
};

struct proto_reader proto_reader_of(struct bytes b);
/* The next field's number and type; false at the end or on error (groups are an error). */
bool proto_next(struct proto_reader *r, uint32_t *ret_field, enum proto_type *ret_type);
/* A value of the type that proto_next said; another type than asked for is an error. */
uint64_t proto_varint(struct proto_reader *r, enum proto_type t);
int64_t proto_int64(struct proto_reader *r, enum proto_type t);
double proto_double(struct proto_reader *r, enum proto_type t);
float proto_float(struct proto_reader *r, enum proto_type t);
struct bytes proto_bytes(struct proto_reader *r, enum proto_type t);
/* The same, and valid UTF-8. */
struct str proto_string(struct proto_reader *r, enum proto_type t);
void proto_skip(struct proto_reader *r, enum proto_type t);

void proto_put_varint(struct buf *b, uint32_t field, uint64_t v);
void proto_put_double(struct buf *b, uint32_t field, double v);
void proto_put_float(struct buf *b, uint32_t field, float v);
void proto_put_bytes(struct buf *b, uint32_t field, const void *data, size_t len);
void proto_put_floats(struct buf *b, uint32_t field, const float *v, size_t n);
/* A nested message: begin returns a mark, end writes the length before what came since. */
size_t proto_begin(struct buf *b, uint32_t field);
void proto_end(struct buf *b, size_t mark);
