/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points: ids, vectors, payload, as clients and ops name them.
 */
#pragma once

#include <stdbool.h>

#include "base/wire.h"
#include "index/value.h"

enum point_id_kind { POINT_ID_NUM = 0, POINT_ID_UUID = 1 };

/* An unsigned number (in lo) or a UUID (its 16 bytes, big-endian, in hi and lo). */
struct point_id {
	uint64_t hi;
	uint64_t lo;
	uint8_t kind;
};

/* All numbers before all UUIDs. */
int point_id_compare(struct point_id a, struct point_id b);
bool point_id_equal(struct point_id a, struct point_id b);
/* For shard choice, Merkle leaves and graph levels: the same in every region, for ever. */
uint64_t point_id_hash(struct point_id id);
/* Any textual form of a UUID: hyphenated, simple, urn:uuid:, braced. */
MUST_USE enum err point_id_parse_uuid(struct str text, struct point_id *ret_id);
#define POINT_ID_TEXT_MAX 40
/* A decimal number, or a lower-case hyphenated UUID; terminated. Returns the length. */
size_t point_id_format(struct point_id id, char out[POINT_ID_TEXT_MAX]);
/* 1 kind byte, then 8 or 16 bytes big-endian: sorts as point_id_compare does. */
void point_id_put(struct buf *b, struct point_id id);
struct point_id point_id_get(struct wire_reader *r);

enum vector_kind { VECTOR_DENSE = 0, VECTOR_SPARSE = 1, VECTOR_MULTI = 2 };

/* The values of one vector; somebody else owns them. */
struct vector {
	enum vector_kind kind;
	uint32_t count;            /* dense: dim; sparse: entries; multi: rows * dim */
	uint32_t rows;             /* multi only */
	const float *values;
	const uint32_t *indices;   /* sparse: ascending, unique */
};

struct named_vector {
	struct str name;           /* "" is the default vector */
	struct vector vector;
};

struct point {
	struct point_id id;
	struct named_vector *vectors;
	uint32_t vector_count;
	struct value payload;      /* an object, or no value */
};

bool vector_equal(const struct vector *a, const struct vector *b);
/* Content hash of a vector as stored; part of the digests. */
uint64_t vector_hash(const struct vector *v);
/* One encoding for op records and rows: kind byte, counts as varints, indices as u32, values as f32,
 * little-endian. Reading copies into the arena (values may lie unaligned in the input). */
void vector_put(struct buf *b, const struct vector *v);
MUST_USE enum err vector_get(struct wire_reader *r, struct arena *a, struct vector *ret_vector);
