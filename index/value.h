/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload values and their canonical bytes. One value has exactly one encoding (objects are sorted by
 * key bytes, keys are unique), so equal payloads are equal bytes in every region.
 *
 * Encoding: one tag byte, then
 *   0 null, 1 false, 2 true   nothing
 *   3 int                     zigzag varint
 *   4 double                  8 bytes, little-endian IEEE 754
 *   5 string                  varint length, UTF-8
 *   6 list                    u32 length of what follows, varint count, the values
 *   7 object                  u32 length of what follows, varint count, then (varint length, key, value) each
 *   8 uint                    varint; only for whole numbers above INT64_MAX
 * Depth is at most VALUE_DEPTH_MAX.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"

#define VALUE_DEPTH_MAX 64

enum value_kind {
	VALUE_NULL = 0, VALUE_FALSE = 1, VALUE_TRUE = 2, VALUE_INT = 3, VALUE_DOUBLE = 4, VALUE_STRING = 5,
	VALUE_LIST = 6, VALUE_OBJECT = 7, VALUE_UINT = 8
};

/* A checked encoding that somebody else owns. data == NULL: there is no value. */
struct value {
	const uint8_t *data;
	uint32_t len;
};

/* Is this exactly one canonical value? For bytes from disks and peers; everything below trusts them. */
MUST_USE enum err value_check(struct bytes b, struct value *ret_value);

enum value_kind value_kind(struct value v);
int64_t value_int(struct value v);
uint64_t value_uint(struct value v);
double value_double(struct value v);
/* Int, uint or double as double; false for other kinds. */
bool value_number(struct value v, double *ret_number);
struct str value_string(struct value v);
/* Items of a list or object. */
uint32_t value_count(struct value v);

struct value_iter {
	const uint8_t *p, *end;
	bool object;
};
struct value_iter value_items(struct value list_or_object);
/* ret_key may be NULL; it is empty for lists. */
bool value_next(struct value_iter *it, struct str *ret_key, struct value *ret_value);
bool value_get(struct value object, struct str key, struct value *ret_value);

/* Reads one JSON value and appends its canonical bytes to out; nothing on failure. Duplicate keys: the last one
 * counts. ERR_BAD_REQUEST: json_end() has the words. ERR_TOO_LARGE: out or scratch is full. */
MUST_USE enum err value_from_json(struct json_reader *r, struct arena *scratch, struct buf *out);
void value_to_json(struct value v, struct json_writer *w);

/* Building by hand, for protobuf and for merging. Keys of an object may come in any order; a later
 * duplicate replaces an earlier one. */
struct value_member {
	struct str key;
	struct value value;
};
/* Sorts members in place. ERR_BAD_INPUT when a member (an item) is nested so deeply that the object (the list)
 * would be too deep. What out holds must not be what members (items) point into. */
MUST_USE enum err value_put_object(struct buf *out, struct value_member *members, uint32_t count);
MUST_USE enum err value_put_list(struct buf *out, const struct value *items, uint32_t count);
void value_put_null(struct buf *out);
void value_put_bool(struct buf *out, bool v);
void value_put_int(struct buf *out, int64_t v);
/* Becomes an int when it fits one. */
void value_put_uint(struct buf *out, uint64_t v);
/* JSON has no infinity and no NaN: they become null. */
void value_put_double(struct buf *out, double v);
void value_put_string(struct buf *out, struct str s);
struct value value_of_buf(const struct buf *b);

/*
 * A path into a payload as Qdrant writes it: `a.b`, `a[].b`, `a[3]`, `"quoted key".b`.
 * Without [] a path does not step through arrays.
 */
#define PATH_STEPS_MAX 16
struct path_step {
	enum { PATH_KEY, PATH_ALL, PATH_INDEX } kind;
	struct str key;
	uint32_t index;
};
struct path {
	struct path_step steps[PATH_STEPS_MAX];
	uint32_t count;
	struct str text;   /* as written */
};
/* Views into text. ERR_BAD_INPUT for an empty or malformed path. */
MUST_USE enum err path_parse(struct str text, struct path *ret_path, struct fault *reterr_fault);
/* Calls fn for every value that the path finds, until fn returns true; returns whether one did. */
bool path_walk(const struct path *p, struct value root, bool (*fn)(void *ctx, struct value found), void *ctx);
