/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259): a pull reader over bytes that stay in place, and a writer into a buf.
 * The reader validates all it passes over: UTF-8, escapes, numbers, depth (JSON_DEPTH_MAX), nothing after
 * the end. Its error is sticky and names the byte. No recursion on input depth.
 *
 *     json_reader r = json_reader_of(body);
 *     if (json_enter_object(&r))
 *         while (json_next_key(&r, &key)) { if (key is "limit") limit = json_u64(&r); else json_skip(&r); }
 *     err = json_end(&r, fault);
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"

#define JSON_DEPTH_MAX 64

enum json_kind {
	JSON_END, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT, JSON_BAD
};

struct json_reader {
	const char *start, *p, *end;
	struct arena *arena;       /* for strings with escapes */
	const char *error;         /* NULL, or a static sentence: what was expected or wrong */
	size_t error_at;           /* byte */
	unsigned depth;
	uint64_t object_bits;      /* bit d: level d is an object */
	uint64_t first_bits;       /* bit d: no element of level d was read yet */
};

struct json_reader json_reader_of(struct str text, struct arena *arena);
/* What comes next, without passing it. */
enum json_kind json_peek(struct json_reader *r);
bool json_failed(const struct json_reader *r);
/* Sets the sticky error if there is none; what is a static sentence. */
void json_fail(struct json_reader *r, const char *what);
/* All read and nothing left? Else ERR_BAD_REQUEST with words and the line and column; ERR_TOO_LARGE when the
 * arena was full. */
MUST_USE enum err json_end(struct json_reader *r, struct fault *reterr_fault);

bool json_enter_object(struct json_reader *r);
/* The next key; false at the end of the object (which is then left) or on error. Keys may repeat; the
 * caller decides. */
bool json_next_key(struct json_reader *r, struct str *ret_key);
bool json_enter_array(struct json_reader *r);
/* True when an element follows; false at the end of the array (which is then left) or on error. */
bool json_next_element(struct json_reader *r);

bool json_bool(struct json_reader *r);
/* Whole numbers; a fraction, an exponent or a value outside the type is an error. */
uint64_t json_u64(struct json_reader *r);
int64_t json_i64(struct json_reader *r);
double json_f64(struct json_reader *r);
/* A number whose kind matters: integers that fit keep it. */
struct json_number {
	enum { JSON_INT, JSON_UINT, JSON_DOUBLE } kind;
	int64_t i;
	uint64_t u;   /* above INT64_MAX only */
	double d;
};
struct json_number json_number(struct json_reader *r);
/* Valid UTF-8, escapes resolved; a view of the input, or of the arena when there were escapes. */
struct str json_string(struct json_reader *r);
void json_null(struct json_reader *r);
/* Passes over one whole value, validating it. */
void json_skip(struct json_reader *r);
/* Passes over one whole value and returns its text. */
struct str json_raw(struct json_reader *r);
/* An array of numbers, each rounded correctly to float; the fast path for vectors. Grows in the arena.
 * NaN cannot be written in JSON; a number beyond FLT_MAX is an error. */
float *json_floats(struct json_reader *r, uint32_t *ret_count);

/* Writing. The caller keeps the order right; commas and colons come by themselves. */
struct json_writer {
	struct buf *out;
	bool first;      /* nothing was written into the innermost array or object */
	bool after_key;
};
struct json_writer json_writer_to(struct buf *out);
void json_put_object(struct json_writer *w);
void json_put_object_end(struct json_writer *w);
void json_put_array(struct json_writer *w);
void json_put_array_end(struct json_writer *w);
void json_put_key(struct json_writer *w, struct str key);
void json_put_string(struct json_writer *w, struct str s);
void json_put_cstr(struct json_writer *w, const char *s);
void json_put_u64(struct json_writer *w, uint64_t v);
void json_put_i64(struct json_writer *w, int64_t v);
/* Shortest text that reads back as the same double (float); whole values keep ".0". Not finite: null. */
void json_put_f64(struct json_writer *w, double v);
void json_put_f32(struct json_writer *w, float v);
void json_put_floats(struct json_writer *w, const float *v, size_t n);
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
/* Text that is JSON already. */
void json_put_raw(struct json_writer *w, struct str json);
