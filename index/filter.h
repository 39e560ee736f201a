/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: the tree of conditions and its evaluation, as Qdrant defines them. A filter's result never
 * depends on which payload index is built; what counts as a word is part of the definition of an index of type text
 * (words.h). Kinds of conditions are rows of filter.def.
 * The tree lives in the request's arena and is immutable once prepared; any thread may evaluate it.
 */
#pragma once

#include "index/datetime.h"
#include "index/geo_shape.h"
#include "index/point.h"
#include "index/words.h"

#define FILTER_DEPTH_MAX 16
#define FILTER_CONDITIONS_MAX 1024
/* Of sets, and points of polygons. */
#define FILTER_VALUES_MAX 16384
/* Of match text, text_any and phrase. */
#define FILTER_TEXT_BYTES_MAX 65536

enum condition_kind {
#define COND(name, object, json_key, proto_tag, argument, evaluator) CONDITION_##name,
#include "index/filter.def"
#undef COND
	CONDITION_COUNT
};

enum condition_object { OBJECT_MATCH, OBJECT_FIELD, OBJECT_CONDITION };

enum condition_argument {
	ARGUMENT_TEXT,
	ARGUMENT_INT,
	ARGUMENT_BOOL,
	ARGUMENT_TEXTS,
	ARGUMENT_INTS,
	ARGUMENT_NUMBERS,   /* bounds of numbers */
	ARGUMENT_DATETIMES, /* bounds of times */
	ARGUMENT_BOX,
	ARGUMENT_CIRCLE,
	ARGUMENT_POLYGON,
	ARGUMENT_COUNTS, /* bounds of how many values there are */
	ARGUMENT_KEY,    /* nothing but the key */
	ARGUMENT_IDS,
	ARGUMENT_NAME, /* of a vector */
	ARGUMENT_FILTER,
	ARGUMENT_NESTED, /* the key, and a filter */
	ARGUMENT_SLICE,
	ARGUMENT_COUNT
};

struct filter;

/* Sorted arrays, so that evaluation can search them. */
struct text_set {
	struct str *items;
	uint32_t count;
};
struct int_set {
	int64_t *items;
	uint32_t count;
};
struct id_set {
	struct point_id *items;
	uint32_t count;
};

struct range {
	bool has_lt, has_gt, has_lte, has_gte;
	double lt, gt, lte, gte;
};
struct datetime_range {
	bool has_lt, has_gt, has_lte, has_gte;
	int64_t lt, gt, lte, gte; /* as datetime.h's */
};
struct count_range {
	bool has_lt, has_gt, has_lte, has_gte;
	uint64_t lt, gt, lte, gte;
};

/* The points whose id, hashed, is index modulo total: total slices cut a collection into disjoint parts. */
struct slice {
	uint32_t total;
	uint32_t index;
};

struct condition {
	enum condition_kind kind;
	struct path key;             /* of field conditions, KEY and NESTED */
	union {                      /* by argument */
		struct str text;
		int64_t integer;
		bool boolean; /* FIELD_IS_EMPTY, FIELD_IS_NULL: the wanted answer */
		struct text_set texts;
		struct int_set ints;
		struct range range;
		struct datetime_range times;
		struct count_range counts;
		struct geo_box box;
		struct geo_circle circle;
		struct geo_polygon polygon;
		struct id_set ids;
		struct str vector_name;
		struct filter *filter; /* NULL matches all */
		struct slice slice;
	};
};

struct condition_list {
	struct condition *items;
	uint32_t count;
};

struct filter {
	struct condition_list must;
	struct condition_list should;
	struct condition_list must_not;
	struct condition_list min_should;
	uint32_t min_count;
	bool has_min_should;
};

enum condition_object condition_object_of(enum condition_kind kind);
enum condition_argument condition_argument_of(enum condition_kind kind);

/* Sorts the sets, checks depth and counts; after building, again only of what is as it was. */
MUST_USE enum err filter_prepare(struct filter *f, struct fault *reterr_fault);

/* What a filter looks at. has_vector may be NULL (then HAS_VECTOR is false). */
struct filter_subject {
	struct point_id id;
	struct value payload;   /* an object, or no value */
	bool (*has_vector)(const struct filter_subject *s, struct str name);
	/* How texts of that key fall into words; NULL, or it returns NULL: not at all. */
	const struct words *(*words)(const struct filter_subject *s, const struct path *key);
	const void *ctx;
	/* Of an element of a point's payload: where it was found, [] at the end. Then there are no ids and vectors. */
	const struct path *within;
	enum err *failed; /* set when an answer could not be found out, for lack of memory; may be NULL */
};

/* NULL matches all. */
bool filter_match(const struct filter *f, const struct filter_subject *s);
